// SPDX-License-Identifier: MIT
//! A folder on an SSH server, such as a storage box, through OpenSSH's own `ssh`: its keys, its
//! configuration, its known hosts. What is said over that line is SFTP, by a small client of our
//! own (`wire.rs`): the `sftp` program says too little of what went wrong.
//!
//! A file is written beside, to the disk where the server can (`fsync@openssh.com`), and renamed
//! to its name, which fails if the name is taken.

pub mod options;
pub mod wire;

pub use options::SftpOptions;

use super::child::Child;
use super::{
    Access, Backend, FileKind, FileName, Leftovers, Properties, is_temporary, list_each, missing,
    size_each, whole_by_size,
};
use crate::base::units::{bytes as length_of, length};
use crate::base::{Counter, Error, FileId, Kind, Monitor, Result, World, limits};
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use wire::{Ask, FOR_A_NEW_FILE, FOR_READING, Listed, Reply, Status, Wire, pieces};

const SSH: &str = "/usr/bin/ssh";
const TEMP_FOLDER: &str = "tmp";

/// A repository on an SSH server.
pub struct Sftp {
    options: SftpOptions,
    world: Arc<World>,
    monitor: Arc<dyn Monitor>,
    silence: Duration,
    /// Lines that nobody uses right now.
    idle: Mutex<Vec<Wire>>,
}

/// Why a request came to nothing.
enum Trouble {
    /// The line is gone.
    Line(io::Error),
    /// The server said no.
    Refused(Status),
    /// Something of ours, complete.
    Ours(Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Line(error)
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Ours(error)
    }
}

impl Sftp {
    /// A repository in a folder, which need not exist. Nothing is asked yet.
    pub fn new(options: SftpOptions, access: &Access) -> Result<Self> {
        let seconds = access.variables.number("GHOSTSNAP_SILENCE_SECONDS")?;
        Ok(Self {
            options,
            world: Arc::clone(&access.world),
            monitor: Arc::clone(&access.monitor),
            silence: seconds.map_or(limits::SILENCE_WAIT, Duration::from_secs),
            idle: Mutex::new(Vec::new()),
        })
    }

    fn path(&self, below: &str) -> String {
        format!("{}/{below}", self.options.path)
    }

    /// Does something with a line of its own. One on which anything went wrong is not used again.
    fn with_line<T>(
        &self,
        what: &str,
        counter: Counter,
        act: impl FnOnce(&mut Wire) -> Result<T, Trouble>,
    ) -> Result<T> {
        self.monitor.count(counter, 1);
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut line = match idle {
            Some(line) => line,
            None => self.connect(what)?,
        };
        match act(&mut line) {
            Ok(value) => {
                self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(line);
                Ok(value)
            }
            Err(Trouble::Refused(status)) => Err(refused(what, &status)),
            Err(Trouble::Ours(error)) => Err(error),
            Err(Trouble::Line(error)) => Err(broken(what, &error, &line.complaint())),
        }
    }

    fn connect(&self, what: &str) -> Result<Wire> {
        let environment = self.options.environment.clone();
        let arguments = self.options.arguments();
        let child = Child::start(Path::new(SSH), arguments, environment, self.silence);
        let child = child.map_err(|error| {
            let lacking = error.kind() == Kind::NotFound;
            if lacking { error.hint("apt install openssh-client") } else { error }
        })?;
        Wire::new(child).map_err(|(error, child)| {
            // The end of the line comes before its last words.
            self.world.sleep(limits::LAST_WORDS_WAIT);
            not_let_in(what, &error, &child.complaint())
        })
    }

    fn write(&self, line: &mut Wire, temp: &str, bytes: &[u8]) -> Result<(), Trouble> {
        let handle = match line.ask(Ask::Open(temp, FOR_A_NEW_FILE))? {
            Reply::Status(status) if status.code == Status::MISSING => {
                self.make_folders(line, TEMP_FOLDER)?;
                handle(line.ask(Ask::Open(temp, FOR_A_NEW_FILE))?)?
            }
            reply => handle(reply)?,
        };
        let part = |(start, end): (u64, u64)| {
            let bytes = bytes.get(length(start)..length(end)).unwrap_or_default();
            Ask::Write(&handle, start, bytes)
        };
        let replies = line.ask_all(pieces(0, length_of(bytes.len())).map(part))?;
        replies.into_iter().try_for_each(done)?;
        self.monitor.count(Counter::BytesSent, length_of(bytes.len()));
        if line.can_sync {
            done(line.ask(Ask::Sync(&handle))?)?;
        }
        done(line.ask(Ask::Close(&handle))?)
    }

    /// Makes a folder of the repository and those above it.
    fn make_folders(&self, line: &mut Wire, below: &str) -> Result<(), Trouble> {
        let whole = self.path(below);
        let ends = whole.match_indices('/').map(|(end, _)| end).chain([whole.len()]);
        for end in ends.filter(|end| *end > 0) {
            let folder = whole.get(..end).unwrap_or(&whole);
            // Most are there already, and those above may not even be ours to look at: what the
            // server says of it is told by what is done next.
            line.ask(Ask::MakeFolder(folder))?;
        }
        Ok(())
    }

    fn rename(&self, line: &mut Wire, temp: &str, name: &FileName) -> Result<(), Trouble> {
        let path = self.path(&name.to_string());
        let mut status = status(line.ask(Ask::Rename(temp, &path))?)?;
        if status.code == Status::MISSING {
            let name = name.to_string();
            let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
            self.make_folders(line, folder)?;
            status = self::status(line.ask(Ask::Rename(temp, &path))?)?;
        }
        if status.code == 0 {
            return Ok(());
        }
        // It does not say why; what is there does.
        let taken = matches!(line.ask(Ask::Stat(&path))?, Reply::Size(_));
        // What remains of it is only garbage.
        line.ask(Ask::Remove(temp))?;
        if taken {
            return Err(Error::new(Kind::Exists, format!("write {name}"))
                .why("the store has a file of that name")
                .into());
        }
        Err(Trouble::Refused(status))
    }
}

type Entries = Vec<Listed>;

impl Backend for Sftp {
    fn list(&self, kind: FileKind) -> Result<Vec<(FileName, u64)>> {
        if kind == FileKind::Config {
            let size = self.size(&FileName::CONFIG)?;
            return Ok(size.map(|size| (FileName::CONFIG, size)).into_iter().collect());
        }
        let what = format!("list {}", kind.folder());
        self.with_line(&what, Counter::RequestsList, |line| {
            let mut folders = vec![kind.folder().to_owned()];
            if kind == FileKind::Pack {
                let above = folders_of(line, &[self.path(kind.folder())])?;
                folders =
                    above.into_iter().flatten().filter_map(|one| pack_folder(&one.name)).collect();
            }
            let mut files = Vec::new();
            for some in folders.chunks(limits::SFTP_FOLDERS_AT_ONCE) {
                let paths: Vec<String> = some.iter().map(|folder| self.path(folder)).collect();
                for (folder, entries) in some.iter().zip(folders_of(line, &paths)?) {
                    for Listed { name, size, .. } in entries {
                        let Ok(name) = String::from_utf8(name) else { continue };
                        let path = format!("{folder}/{name}");
                        let Some(name) = FileName::parse(kind, &path) else { continue };
                        let size = size.ok_or_else(|| {
                            Error::new(Kind::Connect, what.as_str())
                                .why("the server names files without their sizes")
                        })?;
                        files.push((name, size));
                    }
                }
            }
            Ok(files)
        })
    }

    fn list_together(&self, kinds: &[FileKind]) -> Result<Vec<(FileName, u64)>> {
        list_each(self, kinds)
    }

    fn read(&self, name: &FileName, range: Range<u64>) -> Result<Vec<u8>> {
        let what = format!("read {name}");
        let path = self.path(&name.to_string());
        self.with_line(&what, Counter::RequestsGet, |line| {
            let handle = match line.ask(Ask::Open(&path, FOR_READING))? {
                Reply::Status(status) if status.code == Status::MISSING => {
                    return Err(missing(name).into());
                }
                reply => handle(reply)?,
            };
            let read = read_range(line, &handle, &range);
            done(line.ask(Ask::Close(&handle))?)?;
            let bytes = read?;
            if length_of(bytes.len()) == range.end - range.start && !range.is_empty() {
                self.monitor.count(Counter::BytesReceived, length_of(bytes.len()));
                return Ok(bytes);
            }
            match line.ask(Ask::Stat(&path))? {
                Reply::Size(Some(size)) if size >= range.end && range.is_empty() => Ok(bytes),
                Reply::Size(Some(size)) if size >= range.end => {
                    let short = format!("{} bytes came, and no more", bytes.len());
                    Err(Error::new(Kind::Connect, what.as_str()).why(short).transient().into())
                }
                Reply::Size(size) => Err(Error::new(Kind::Damaged, what.as_str())
                    .why(format!(
                        "it has {} bytes, byte {} was asked for",
                        size.unwrap_or_default(),
                        range.end
                    ))
                    .into()),
                reply => Err(Trouble::Refused(status(reply)?)),
            }
        })
    }

    fn read_whole(&self, name: &FileName, most: u64) -> Result<Option<Vec<u8>>> {
        whole_by_size(self, name, most)
    }

    fn size(&self, name: &FileName) -> Result<Option<u64>> {
        let what = format!("look at {name}");
        let path = self.path(&name.to_string());
        self.with_line(&what, Counter::RequestsGet, |line| match line.ask(Ask::Stat(&path))? {
            Reply::Size(Some(size)) => Ok(Some(size)),
            Reply::Status(status) if status.code == Status::MISSING => Ok(None),
            Reply::Status(status) => Err(Trouble::Refused(status)),
            _ => Err(unexpected()),
        })
    }

    fn sizes(&self, names: &[FileName]) -> Result<Vec<Option<u64>>> {
        size_each(self, names)
    }

    fn create(&self, name: &FileName, bytes: &[u8]) -> Result<()> {
        let what = format!("write {name}");
        // Random: several servers may write here, and a killed one leaves its files behind.
        let temp = FileId(self.world.random_32_for("temporary name")?);
        let temp = self.path(&format!("{TEMP_FOLDER}/{temp}"));
        self.with_line(&what, Counter::RequestsPut, |line| {
            let written = self.write(line, &temp, bytes);
            if let Err(Trouble::Refused(_)) = &written {
                // A full disk leaves a part, which is only garbage.
                line.ask(Ask::Remove(&temp))?;
            }
            written?;
            self.rename(line, &temp, name)
        })
    }

    fn remove(&self, name: &FileName) -> Result<()> {
        let what = format!("remove {name}");
        let path = self.path(&name.to_string());
        self.with_line(&what, Counter::RequestsDelete, |line| {
            let status = status(line.ask(Ask::Remove(&path))?)?;
            match status.code {
                0 | Status::MISSING => Ok(()),
                _ => Err(Trouble::Refused(status)),
            }
        })
    }

    fn leftovers(&self, before: i64, task: Leftovers) -> Result<(u64, u64)> {
        let folder = self.path(TEMP_FOLDER);
        let what = format!("look at what is left in {folder}");
        self.with_line(&what, Counter::RequestsList, |line| {
            let mut found = (0, 0);
            let mut paths = Vec::new();
            for one in folders_of(line, std::slice::from_ref(&folder))?.into_iter().flatten() {
                let Ok(name) = String::from_utf8(one.name) else { continue };
                let is_old = one.modified.is_some_and(|time| i64::from(time) < before);
                if is_old && is_temporary(&name) {
                    found = (found.0 + 1, found.1 + one.size.unwrap_or_default());
                    paths.push(format!("{folder}/{name}"));
                }
            }
            if task == Leftovers::Count {
                return Ok(found);
            }
            self.monitor.count(Counter::RequestsDelete, found.0);
            for reply in line.ask_all(paths.iter().map(|path| Ask::Remove(path)))? {
                let status = status(reply)?;
                if ![0, Status::MISSING].contains(&status.code) {
                    return Err(Trouble::Refused(status));
                }
            }
            Ok(found)
        })
    }

    fn properties(&self) -> Properties {
        // Packs are listed folder by folder, which takes hundreds of requests.
        Properties {
            connections: 2,
            append_only: self.options.append_only,
            is_far: true,
            listed_at_once: 1,
            pack_bytes_max: limits::PACK_BYTES_MAX,
        }
    }

    fn location(&self) -> String {
        self.options.location()
    }
}

/// The entries of some folders, in their order; one that does not exist has none.
fn folders_of(line: &mut Wire, paths: &[String]) -> Result<Vec<Entries>, Trouble> {
    let mut found: Vec<Entries> = paths.iter().map(|_| Entries::new()).collect();
    let mut open: Vec<(usize, Vec<u8>)> = Vec::new();
    let opened = line.ask_all(paths.iter().map(|path| Ask::OpenFolder(path)))?;
    for (place, reply) in opened.into_iter().enumerate() {
        match reply {
            Reply::Status(status) if status.code == Status::MISSING => {}
            reply => open.push((place, handle(reply)?)),
        }
    }
    while !open.is_empty() {
        let asks = open.iter().map(|(_, handle)| Ask::ReadFolder(handle));
        let replies = line.ask_all(asks)?;
        let mut ended = Vec::new();
        for ((place, handle), reply) in std::mem::take(&mut open).into_iter().zip(replies) {
            match reply {
                Reply::Names(names) => {
                    if let Some(entries) = found.get_mut(place) {
                        entries.extend(names);
                    }
                    open.push((place, handle));
                }
                Reply::Status(status) if status.code == Status::END => ended.push(handle),
                Reply::Status(status) => return Err(Trouble::Refused(status)),
                _ => return Err(unexpected()),
            }
        }
        // Closed for the server's sake; the names are here already.
        line.ask_all(ended.iter().map(|handle| Ask::Close(handle)))?;
    }
    Ok(found)
}

fn read_range(line: &mut Wire, handle: &[u8], range: &Range<u64>) -> Result<Vec<u8>, Trouble> {
    let mut bytes = Vec::with_capacity(length(range.end - range.start).min(64 * 1024 * 1024));
    loop {
        let start = range.start + length_of(bytes.len());
        if start >= range.end {
            return Ok(bytes);
        }
        let most = |start, end| u32::try_from(end - start).unwrap_or(u32::MAX);
        let asks = pieces(start, range.end)
            .take(limits::SFTP_REQUESTS_IN_FLIGHT)
            .map(|(start, end)| Ask::Read(handle, start, most(start, end)));
        let (wanted, before) = (pieces(start, range.end), bytes.len());
        for ((start, end), reply) in wanted.zip(line.ask_all(asks)?) {
            match reply {
                Reply::Data(data) => {
                    let whole = length_of(data.len()) == end - start;
                    bytes.extend(data);
                    // A server may give less than asked for: the rest is asked again from there.
                    if !whole {
                        break;
                    }
                }
                Reply::Status(status) if status.code == Status::END => break,
                Reply::Status(status) => return Err(Trouble::Refused(status)),
                _ => return Err(unexpected()),
            }
        }
        if bytes.len() == before {
            return Ok(bytes);
        }
    }
}

fn pack_folder(name: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(name).ok()?;
    let is_ours = name.len() == 2 && u8::from_str_radix(name, 16).is_ok();
    is_ours.then(|| format!("{}/{name}", FileKind::Pack.folder()))
}

fn handle(reply: Reply) -> Result<Vec<u8>, Trouble> {
    match reply {
        Reply::Handle(handle) => Ok(handle),
        Reply::Status(status) => Err(Trouble::Refused(status)),
        _ => Err(unexpected()),
    }
}

fn status(reply: Reply) -> Result<Status, Trouble> {
    match reply {
        Reply::Status(status) => Ok(status),
        _ => Err(unexpected()),
    }
}

fn done(reply: Reply) -> Result<(), Trouble> {
    let status = status(reply)?;
    if status.code == 0 { Ok(()) } else { Err(Trouble::Refused(status)) }
}

fn unexpected() -> Trouble {
    Trouble::Line(io::Error::new(io::ErrorKind::InvalidData, "an answer to something else"))
}

fn refused(what: &str, status: &Status) -> Error {
    let error = Error::new(Kind::Disk, what);
    let text = if status.text.is_empty() { "no reason given" } else { &status.text };
    match status.code {
        Status::MISSING => error.with_kind(Kind::NotFound).why("the server has no such file"),
        Status::DENIED => error
            .with_kind(Kind::Forbidden)
            .why("the server does not allow it")
            .hint("give the user of the address the right to write below the folder"),
        code => error
            .why(format!("the server refuses ({text}, code {code})"))
            .hint("its disk or quota may be full, or the folder cannot be written"),
    }
}

/// What `ssh` complains about says why there is no line.
fn not_let_in(what: &str, error: &io::Error, complaint: &str) -> Error {
    let ours = Error::new(Kind::Connect, what);
    let says = |words: &[&str]| words.iter().any(|word| complaint.contains(word));
    if says(&["Permission denied"]) {
        return ours.with_kind(Kind::Forbidden).why(format!("the server lets nobody in so: {complaint}")).hint(
            "let ssh log in without a password: put the public key of root there, or name the key \
             in ~/.ssh/config",
        );
    }
    if says(&["Host key verification failed", "REMOTE HOST IDENTIFICATION"]) {
        return ours
            .with_kind(Kind::Forbidden)
            .why("ssh does not know the key of the host, or it has changed")
            .hint("as the same user, connect once by hand with ssh and compare the fingerprint");
    }
    if says(&["subsystem request failed", "no such identity", "Bad configuration"]) {
        return ours.with_kind(Kind::Invalid).why(complaint.to_owned());
    }
    broken(what, error, complaint)
}

/// A line that is gone, or was never there. `ssh` may have complained long before it broke, when it
/// could not note the host's key for example, so that its words decide nothing.
fn broken(what: &str, error: &io::Error, complaint: &str) -> Error {
    let why = match (error.kind(), complaint) {
        (io::ErrorKind::TimedOut, "") => "the server made no progress".to_owned(),
        (io::ErrorKind::InvalidData, "") => format!("the server does not speak SFTP: {error}"),
        (_, "") => "the connection broke".to_owned(),
        (_, complaint) => complaint.to_owned(),
    };
    Error::new(Kind::Connect, what).why(why).transient()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ssh_complains_about_decides_whether_to_ask_again() {
        let gone = io::Error::from(io::ErrorKind::UnexpectedEof);
        let tell = |complaint: &str| not_let_in("read x", &gone, complaint);
        let error = tell("u@box: Permission denied (publickey).");
        assert!(error.kind() == Kind::Forbidden && !error.is_transient());
        let error = tell("Host key verification failed.");
        assert!(error.to_string().contains("fingerprint") && !error.is_transient());
        for complaint in ["ssh: connect to host box port 22: Connection refused", ""] {
            let error = tell(complaint);
            assert!(error.kind() == Kind::Connect && error.is_transient());
        }
    }

    #[test]
    fn what_ssh_said_at_the_login_ends_no_line_that_breaks_later() {
        let gone = io::Error::from(io::ErrorKind::UnexpectedEof);
        let said = "hostfile_replace_entries: known_hosts: Permission denied";
        let error = broken("read x", &gone, said);
        assert!(error.kind() == Kind::Connect && error.is_transient());
        assert!(error.one_line().contains("known_hosts"), "{error}");
    }
}
