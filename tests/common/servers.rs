// SPDX-License-Identifier: MIT
//! MariaDB, MySQL and PostgreSQL servers of the tests' own, on a free port of the loopback
//! interface, with their data in a temporary folder. They end with the test program: each has a
//! guard that waits for the end of a pipe.
#![allow(dead_code, missing_docs, clippy::all, clippy::pedantic, clippy::print_stderr)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::as_conversions, clippy::panic)]

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

pub const PASSWORD: &str = "r00t pass#word";

/// A server that is ended when this is dropped, or when the program is.
pub struct DbServer {
    folder: tempfile::TempDir,
    pub port: u16,
    guard: Child,
    /// Its end is the server's end.
    life: Option<ChildStdin>,
    pub pid: i32,
    /// The folder of its client and its dump program.
    pub tools: PathBuf,
    /// Its client.
    client: PathBuf,
}

impl Drop for DbServer {
    fn drop(&mut self) {
        self.life = None;
        self.guard.wait().unwrap();
    }
}

/// Whether the test has to run: on a machine that builds for others it has to.
pub fn must_run() -> bool {
    ["CI", "GHOSTSNAP_CI"].iter().any(|name| std::env::var_os(name).is_some())
}

fn find(program: &str) -> Option<PathBuf> {
    let mut folders: Vec<PathBuf> =
        ["/usr/sbin", "/usr/bin", "/usr/local/bin"].map(PathBuf::from).to_vec();
    if let Ok(versions) = fs::read_dir("/usr/lib/postgresql") {
        folders.extend(versions.map(|entry| entry.unwrap().path().join("bin")));
    }
    let found = folders.into_iter().map(|folder| folder.join(program)).find(|path| path.exists());
    if found.is_none() {
        assert!(!must_run(), "{program} is not installed, and this test has to run");
        eprintln!("SKIPPED: {program} is not installed");
    }
    found
}

/// The folder with `mysqld`, `mysql` and `mysqldump` of MySQL 8. Debian has no package of them and
/// beside MariaDB they cannot be installed, so they are named.
fn mysql8_tools() -> Option<PathBuf> {
    let Some(folder) = std::env::var_os("GHOSTSNAP_TEST_MYSQL8").map(PathBuf::from) else {
        eprintln!("SKIPPED: GHOSTSNAP_TEST_MYSQL8 names no folder with the programs of MySQL 8");
        return None;
    };
    for program in ["mysqld", "mysql", "mysqldump"] {
        assert!(folder.join(program).exists(), "GHOSTSNAP_TEST_MYSQL8 has no {program}");
    }
    Some(folder)
}

/// The first tables of a MySQL server, as `make` makes them.
fn mysql8_tables(tools: &Path, make: impl Fn(&Path)) -> PathBuf {
    let version = Command::new(tools.join("mysqld")).arg("--version").output().unwrap();
    let version = String::from_utf8(version.stdout).unwrap();
    let version = version.split_whitespace().skip_while(|word| *word != "Ver").nth(1).unwrap();
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("mysql-{version}"));
    if !kept.exists() {
        let first = tempfile::tempdir().unwrap();
        own(first.path(), "mysql");
        make(&first.path().join("data"));
        // Another test program may be at it too: whole or not at all.
        let mut random = [0; 8];
        getrandom::fill(&mut random).unwrap();
        let coming = kept.with_extension(format!("{:016x}", u64::from_le_bytes(random)));
        copy(&first.path().join("data"), &coming);
        if fs::rename(&coming, &kept).is_err() {
            fs::remove_dir_all(&coming).unwrap();
        }
    }
    kept
}

fn copy(from: &Path, to: &Path) {
    let mut copy = Command::new("/bin/cp");
    copy.arg("-a").arg(from).arg(to);
    run(copy);
}

/// A port for a server of ours, below those that the kernel gives to outgoing connections: one of
/// another test would else take it before the server does.
pub fn free_port() -> u16 {
    free_port_of(10_000..20_000, |port| port_is_free(port))
}

/// A port of the range that nobody in this program got before.
pub fn free_port_of(range: std::ops::Range<u16>, free: impl Fn(u16) -> bool) -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut given = GIVEN.lock().unwrap();
    loop {
        let mut random = [0; 2];
        getrandom::fill(&mut random).unwrap();
        let port = range.start + u16::from_le_bytes(random) % (range.end - range.start);
        if free(port) && given.insert(port) {
            return port;
        }
    }
}

pub fn port_is_free(port: u16) -> bool {
    std::net::TcpListener::bind(("127.0.0.1", port)).is_ok()
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Runs a command as another user, if we are root.
fn as_user(user: &str, program: &Path) -> Command {
    if is_root() {
        let mut command = Command::new("/usr/sbin/runuser");
        command.args(["-u", user, "--"]).arg(program);
        command
    } else {
        Command::new(program)
    }
}

fn own(folder: &Path, user: &str) {
    if is_root() {
        let user = nix::unistd::User::from_name(user).unwrap().unwrap();
        nix::unistd::chown(folder, Some(user.uid), Some(user.gid)).unwrap();
    }
}

fn run(mut command: Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Starts the words of a command with a guard around it.
pub fn guarded(words: &[String], log: &Path) -> (Child, ChildStdin, i32) {
    // The server must not hold the pipe of the guard's life.
    let script = "\"$@\" </dev/null >\"$LOG\" 2>&1 & echo $!; exec >/dev/null; \
                  read -r _; kill -9 $! 2>/dev/null; wait";
    let mut guard = Command::new("/bin/bash")
        .args(["-c", script, "guard"])
        .args(words)
        .env("LOG", log)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let life = guard.stdin.take().unwrap();
    let mut line = String::new();
    let mut reader = std::io::BufReader::new(guard.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut reader, &mut line).unwrap();
    (guard, life, line.trim().parse().unwrap())
}

impl DbServer {
    /// A MariaDB server whose root has [`PASSWORD`].
    pub fn mariadb() -> Option<Self> {
        let server = find("mariadbd")?;
        let folder = tempfile::tempdir().unwrap();
        own(folder.path(), "mysql");
        let path = |name: &str| folder.path().join(name).display().to_string();
        let port = free_port();
        let mut install = Command::new(find("mariadb-install-db")?);
        install.args(["--no-defaults", "--skip-test-db", "--skip-name-resolve"]);
        install.arg(format!("--datadir={}", path("data")));
        // Several are installed at once, and one process number may be there twice.
        install.arg(format!("--tmpdir={}", folder.path().display()));
        install.arg("--auth-root-authentication-method=normal");
        if is_root() {
            install.arg("--user=mysql");
        }
        run(install);
        let mut words = vec![server.display().to_string(), "--no-defaults".into()];
        if is_root() {
            words.push("--user=mysql".into());
        }
        words.extend([
            format!("--datadir={}", path("data")),
            format!("--socket={}", path("s")),
            format!("--pid-file={}", path("pid")),
            format!("--port={port}"),
            "--bind-address=127.0.0.1".into(),
            "--innodb-flush-log-at-trx-commit=0".into(),
            "--local-infile=1".into(),
            "--max-allowed-packet=64M".into(),
        ]);
        let (guard, life, pid) = guarded(&words, &folder.path().join("log"));
        let (tools, client) = ("/usr/bin".into(), "/usr/bin/mariadb".into());
        let server = Self { folder, port, guard, life: Some(life), pid, tools, client };
        let socket = server.folder.path().join("s");
        server.wait_until(|| {
            let mut ask = Command::new("/usr/bin/mariadb");
            ask.arg("--no-defaults").arg(format!("--socket={}", socket.display()));
            ask.args(["-u", "root", "-e"]).arg(format!(
                "SET PASSWORD FOR root@localhost = PASSWORD('{PASSWORD}'); \
                 CREATE USER IF NOT EXISTS root@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'; \
                 GRANT ALL ON *.* TO root@'127.0.0.1' WITH GRANT OPTION; \
                 DROP USER IF EXISTS ''@localhost"
            ));
            ask
        });
        Some(server)
    }

    /// A MySQL server, as it is without any settings but those of its place, whose root has
    /// [`PASSWORD`].
    pub fn mysql8() -> Option<Self> {
        Self::mysql8_with(&[])
    }

    /// The same with these settings.
    pub fn mysql8_with(settings: &[&str]) -> Option<Self> {
        let tools = mysql8_tools()?;
        let folder = tempfile::tempdir().unwrap();
        own(folder.path(), "mysql");
        let path = |name: &str| folder.path().join(name).display().to_string();
        let start = |data: &str| {
            let mut words = vec![tools.join("mysqld").display().to_string()];
            words.extend(["--no-defaults".into(), format!("--datadir={data}")]);
            if is_root() {
                words.push("--user=mysql".into());
            }
            words
        };
        // The first tables take their time: they are made once, and stay for the next tests.
        let made = mysql8_tables(&tools, |first| {
            let words = start(&first.display().to_string());
            let mut install = Command::new(&words[0]);
            install.args(&words[1..]).arg("--initialize-insecure");
            run(install);
        });
        copy(&made, &folder.path().join("data"));
        fs::create_dir(folder.path().join("files")).unwrap();
        // Each has a name of its own.
        fs::remove_file(folder.path().join("data/auto.cnf")).unwrap();
        let port = free_port();
        let mut words = start(&path("data"));
        words.extend([
            format!("--socket={}", path("s")),
            format!("--pid-file={}", path("pid")),
            format!("--port={port}"),
            "--mysqlx=OFF".into(),
            format!("--secure-file-priv={}", path("files")),
            "--bind-address=127.0.0.1".into(),
            "--innodb-flush-log-at-trx-commit=0".into(),
            "--sync-binlog=0".into(),
            "--local-infile=1".into(),
            "--max-allowed-packet=64M".into(),
        ]);
        words.extend(settings.iter().map(|one| (*one).to_owned()));
        let (guard, life, pid) = guarded(&words, &folder.path().join("log"));
        let client = tools.join("mysql");
        let server = Self { folder, port, guard, life: Some(life), pid, tools, client };
        let socket = server.folder.path().join("s");
        server.wait_until(|| {
            let mut ask = Command::new(&server.client);
            ask.arg("--no-defaults").arg(format!("--socket={}", socket.display()));
            ask.args(["-u", "root", "-e"]).arg(format!(
                "CREATE USER IF NOT EXISTS root@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'; \
                 GRANT ALL ON *.* TO root@'127.0.0.1' WITH GRANT OPTION; \
                 ALTER USER root@localhost IDENTIFIED BY '{PASSWORD}'"
            ));
            ask
        });
        Some(server)
    }

    /// A PostgreSQL server whose postgres has [`PASSWORD`].
    pub fn postgres() -> Option<Self> {
        let server = find("postgres")?;
        let initdb = server.with_file_name("initdb");
        let folder = tempfile::tempdir().unwrap();
        own(folder.path(), "postgres");
        let data = folder.path().join("data");
        let secret = folder.path().join("secret");
        fs::write(&secret, PASSWORD).unwrap();
        own(&secret, "postgres");
        let port = free_port();
        let mut init = as_user("postgres", &initdb);
        init.args(["--auth=scram-sha-256", "-U", "postgres", "-E", "UTF8", "--no-sync", "-D"]);
        init.arg(&data).arg(format!("--pwfile={}", secret.display()));
        init.current_dir("/");
        run(init);
        let mut words = Vec::new();
        if is_root() {
            words.extend(["/usr/bin/setpriv", "--reuid=postgres", "--regid=postgres"]);
            words.extend(["--init-groups", "--"]);
        }
        let mut words: Vec<String> = words.into_iter().map(str::to_owned).collect();
        words.extend([server.display().to_string(), "-D".into(), data.display().to_string()]);
        words.extend(["-k".into(), folder.path().display().to_string()]);
        words.extend(["-h".into(), "127.0.0.1".into(), "-p".into(), port.to_string()]);
        words.extend(["-F".into(), "-c".into(), "max_connections=20".into()]);
        let (guard, life, pid) = guarded(&words, &folder.path().join("log"));
        let (tools, client) = ("/usr/bin".into(), "/usr/bin/psql".into());
        let server = Self { folder, port, guard, life: Some(life), pid, tools, client };
        server.wait_until(|| {
            let mut ask = Command::new("/usr/bin/psql");
            ask.env("PGPASSWORD", PASSWORD).args(["-h", "127.0.0.1", "-U", "postgres", "-p"]);
            ask.arg(port.to_string()).args(["-c", "SELECT 1"]);
            ask
        });
        Some(server)
    }

    /// Asks again until the server answers.
    fn wait_until(&self, ask: impl Fn() -> Command) {
        let patience = ghostsnap::base::World::system();
        for _ in 0..600 {
            let output = ask().stdin(Stdio::null()).output().unwrap();
            if output.status.success() {
                return;
            }
            patience.sleep(Duration::from_millis(100));
        }
        let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        panic!("the server does not come up:\n{log}");
    }

    /// The row of Hestia's list of servers.
    pub fn row(&self, user: &str) -> String {
        format!(
            "HOST='127.0.0.1' USER='{user}' PASSWORD='{PASSWORD}' PORT='{}' TPL='template1' \
             CHARSETS='UTF8' MAX_DB='500' U_SYS_USERS='' U_DB_BASES='0' SUSPENDED='no'\n",
            self.port
        )
    }

    /// Kills the server as a power cut would.
    pub fn kill(&self) {
        let pid = nix::unistd::Pid::from_raw(self.pid);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    }

    /// Runs SQL as the administrator of the MariaDB or MySQL server.
    pub fn mysql(&self, sql: &str) -> String {
        self.mysql_as("root", PASSWORD, sql)
    }

    /// Runs SQL as an account of the MariaDB or MySQL server.
    pub fn mysql_as(&self, account: &str, password: &str, sql: &str) -> String {
        let mut command = Command::new(&self.client);
        command.args(["--no-defaults", "-h", "127.0.0.1", "-u", account, "-N", "-B"]);
        command.args(["--default-character-set=utf8mb4", "-P", &self.port.to_string()]);
        if self.client.ends_with("mysql") {
            command.arg("--get-server-public-key");
        }
        command.env("MYSQL_PWD", password);
        feed(command, sql)
    }

    /// A session of its own on the MariaDB server that has run these statements and stays as long
    /// as it is held.
    pub fn mysql_session(&self, sql: &str) -> Session {
        let mut command = Command::new(&self.client);
        command.args(["--no-defaults", "-h", "127.0.0.1", "-u", "root", "-N", "-B", "-n"]);
        command.arg(format!("-P{}", self.port)).env("MYSQL_PWD", PASSWORD);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let input = child.stdin.as_mut().unwrap();
        writeln!(input, "{sql};\nSELECT 'ready';").unwrap();
        input.flush().unwrap();
        let mut line = String::new();
        let mut reader = std::io::BufReader::new(child.stdout.as_mut().unwrap());
        std::io::BufRead::read_line(&mut reader, &mut line).unwrap();
        assert_eq!(line, "ready\n");
        Session(child)
    }

    /// Runs SQL as the administrator of the PostgreSQL server.
    pub fn psql(&self, database: &str, sql: &str) -> String {
        self.psql_as("postgres", PASSWORD, database, sql)
    }

    /// Runs SQL as an account of the PostgreSQL server.
    pub fn psql_as(&self, account: &str, password: &str, database: &str, sql: &str) -> String {
        let mut command = Command::new("/usr/bin/psql");
        command.env("PGPASSWORD", password).args(["-h", "127.0.0.1", "-U", account, "-X"]);
        command.args(["-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-p", &self.port.to_string()]);
        command.args(["-d", database]);
        feed(command, sql)
    }
}

/// A client that holds its session until this is dropped.
pub struct Session(Child);

impl Drop for Session {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

fn feed(mut command: Command, sql: &str) -> String {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let sql = sql.to_owned();
    let writer = std::thread::spawn(move || input.write_all(sql.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap_or(());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}
