// SPDX-License-Identifier: MIT
//! Stores of the tests' own on the loopback interface: an S3 server (SeaweedFS), Azurite, an
//! OpenSSH server. Each is started once for a test program, with its data in a temporary folder,
//! and ends with it. `tests/tools/setup.sh` installs them.
#![allow(dead_code, missing_docs, clippy::all, clippy::pedantic, clippy::print_stderr)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::as_conversions, clippy::panic)]

use super::servers::{free_port, free_port_of, guarded, must_run, port_is_free};
use ghostsnap::backend::{Access, FileKind, FileName, Variables};
use ghostsnap::base::{FileId, World};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

pub const KEY_ID: &str = "AKIATESTKEYID0000001";
pub const SECRET: &str = "wJalr+secret/of.the=tests";

/// A server that lives as long as the test program.
struct Life {
    folder: tempfile::TempDir,
    guard: Child,
    life: ChildStdin,
}

/// Where setup.sh puts what no package of the distribution brings.
fn tool(name: &str) -> Option<PathBuf> {
    let tools = std::env::var_os("GHOSTSNAP_TEST_TOOLS").map(PathBuf::from);
    let tools = tools.unwrap_or_else(|| "/opt/ghostsnap-test-tools".into());
    let mut places = vec![tools.join(name)];
    places.extend(["/usr/bin", "/usr/sbin", "/usr/local/bin"].map(|at| Path::new(at).join(name)));
    let found = places.into_iter().find(|path| path.exists());
    if found.is_none() {
        assert!(!must_run(), "{name} is not installed, and this test has to run");
        eprintln!("SKIPPED: {name} is not installed; run tests/tools/setup.sh");
    }
    found
}

/// A port whose neighbour 10,000 above is free as well: SeaweedFS takes both.
fn port_pair() -> u16 {
    free_port_of(20_000..22_700, |port| port_is_free(port) && port_is_free(port + 10_000))
}

fn wait_for(port: u16, log: &Path, ready: impl Fn() -> bool) {
    for _ in 0..1200 {
        if TcpStream::connect(("127.0.0.1", port)).is_ok() && ready() {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("the server does not come up:\n{}", fs::read_to_string(log).unwrap_or_default());
}

pub struct S3Server {
    pub port: u16,
    _life: Life,
}

/// An S3 server with real signatures, multipart uploads and conditional writes.
pub fn s3() -> Option<&'static S3Server> {
    static SERVER: OnceLock<Option<S3Server>> = OnceLock::new();
    SERVER.get_or_init(start_s3).as_ref()
}

fn start_s3() -> Option<S3Server> {
    let weed = tool("bin/weed")?;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir(path("data")).unwrap();
    let identities = format!(
        r#"{{"identities":[
            {{"name":"all","credentials":[{{"accessKey":"{KEY_ID}","secretKey":"{SECRET}"}}],
              "actions":["Admin","Read","Write","List","Tagging"]}},
            {{"name":"looks","credentials":[{{"accessKey":"AKIALOOKS","secretKey":"{SECRET}"}}],
              "actions":["Read","List"]}}]}}"#
    );
    fs::write(path("s3.json"), identities).unwrap();
    let mut words = vec![weed.display().to_string(), "-logtostderr=true".into(), "server".into()];
    words.extend(["-ip=127.0.0.1".into(), "-ip.bind=127.0.0.1".into()]);
    words.push(format!("-dir={}", path("data").display()));
    let port = port_pair();
    for (name, port) in [
        ("master.port", port_pair()),
        ("volume.port", port_pair()),
        ("filer.port", port_pair()),
        ("s3.port", port),
        ("s3.port.iceberg", 0),
        ("s3.port.lance", 0),
    ] {
        words.push(format!("-{name}={port}"));
    }
    words.extend(["-filer".into(), "-s3".into(), "-volume.max=200".into()]);
    words.push("-master.volumeSizeLimitMB=256".into());
    words.push("-master.telemetry=false".into());
    words.push(format!("-s3.config={}", path("s3.json").display()));
    let log = path("log");
    let (guard, life, _) = guarded(&words, &log);
    let server = S3Server { port, _life: Life { folder, guard, life } };
    // It answers before it can store: the first bucket tells.
    wait_for(port, &log, || server.stores_something());
    Some(server)
}

impl S3Server {
    /// A place of its own for one test, in the bucket of all.
    pub fn place(&self) -> String {
        static PLACES: AtomicUsize = AtomicUsize::new(0);
        format!("tests/place-{}", PLACES.fetch_add(1, Ordering::SeqCst))
    }

    fn stores_something(&self) -> bool {
        let store = ghostsnap::backend::open(&at(self.port, "tests"), &access(keys())).unwrap();
        let name = FileName::new(FileKind::Lock, FileId([0; 32]));
        store.create(&name, b"x").is_ok() && store.remove(&name).is_ok()
    }
}

/// A bucket behind another port, such as a proxy's.
pub fn at(port: u16, bucket: &str) -> String {
    format!("s3:http://127.0.0.1:{port}/{bucket}")
}

/// Names and values as they stand in an environment.
pub type Pairs = Vec<(&'static str, String)>;

/// The key that may do everything.
pub fn keys() -> Pairs {
    keys_of(KEY_ID, SECRET)
}

pub fn keys_of(id: &str, secret: &str) -> Pairs {
    vec![
        ("AWS_ACCESS_KEY_ID", id.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", secret.to_owned()),
        ("GHOSTSNAP_RETRY_SECONDS", "20".to_owned()),
    ]
}

pub fn access(pairs: Pairs) -> Access {
    Access {
        variables: Variables::new(move |name| {
            pairs.iter().find(|(one, _)| *one == name).map(|(_, value)| value.clone())
        }),
        ..Access::bare(Arc::new(World::system()))
    }
}

pub struct AzureServer {
    pub port: u16,
    _life: Life,
}

const ACCOUNT: &str = "devstoreaccount1";
pub const ACCOUNT_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// Azurite, Microsoft's emulator of the blob service.
pub fn azure() -> Option<&'static AzureServer> {
    static SERVER: OnceLock<Option<AzureServer>> = OnceLock::new();
    SERVER.get_or_init(start_azure).as_ref()
}

fn start_azure() -> Option<AzureServer> {
    let node = tool("node")?;
    let main = tool("node_modules/azurite/dist/src/blob/main.js")?;
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let mut words = vec![node.display().to_string(), main.display().to_string()];
    words.extend(["--blobHost".into(), "127.0.0.1".into(), "--blobPort".into(), port.to_string()]);
    words.extend(["--location".into(), folder.path().join("data").display().to_string()]);
    words.extend(["--skipApiVersionCheck", "--disableTelemetry", "--silent"].map(str::to_owned));
    let log = folder.path().join("log");
    let (guard, life, _) = guarded(&words, &log);
    let server = AzureServer { port, _life: Life { folder, guard, life } };
    wait_for(port, &log, || server.make_container("tests"));
    Some(server)
}

impl AzureServer {
    /// A place of its own for one test, in the container of all.
    pub fn place(&self) -> String {
        static PLACES: AtomicUsize = AtomicUsize::new(0);
        format!("azure:tests/place-{}", PLACES.fetch_add(1, Ordering::SeqCst))
    }

    /// The environment of somebody who has the account's key.
    pub fn keys(&self) -> Pairs {
        azure_keys_of(self.port, ACCOUNT_KEY)
    }

    /// The only request that the product never makes.
    fn make_container(&self, name: &str) -> bool {
        let date = World::system().now().utc().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let headers = format!("x-ms-date:{date}\nx-ms-version:2021-12-02\n");
        let resource = format!("/{ACCOUNT}/{ACCOUNT}/{name}\nrestype:container");
        let text = format!("PUT\n\n\n\n\n\n\n\n\n\n\n\n{headers}{resource}");
        let key = azure_core::credentials::Secret::new(ACCOUNT_KEY);
        let signature = azure_core::hmac::hmac_sha256(&text, &key).unwrap();
        let request = format!(
            "PUT /{ACCOUNT}/{name}?restype=container HTTP/1.1\r\nhost: 127.0.0.1:{}\r\n\
             x-ms-date: {date}\r\nx-ms-version: 2021-12-02\r\ncontent-length: 0\r\n\
             authorization: SharedKey {ACCOUNT}:{signature}\r\nconnection: close\r\n\r\n",
            self.port
        );
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.starts_with("HTTP/1.1 201") || answer.starts_with("HTTP/1.1 409")
    }
}

/// The same behind another port, such as a proxy's, or with another key.
pub fn azure_keys_of(port: u16, key: &str) -> Pairs {
    vec![
        ("AZURE_STORAGE_ACCOUNT", ACCOUNT.to_owned()),
        ("AZURE_STORAGE_KEY", key.to_owned()),
        ("AZURE_STORAGE_BLOB_ENDPOINT", format!("http://127.0.0.1:{port}/{ACCOUNT}")),
        ("GHOSTSNAP_RETRY_SECONDS", "20".to_owned()),
    ]
}

/// An SSH server that lets one key in.
pub struct SshServer {
    pub port: u16,
    _life: Life,
}

pub fn ssh() -> Option<&'static SshServer> {
    static SERVER: OnceLock<Option<SshServer>> = OnceLock::new();
    SERVER.get_or_init(start_ssh).as_ref()
}

fn start_ssh() -> Option<SshServer> {
    let sshd = tool("sshd")?;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    for name in ["host", "client", "stranger"] {
        let mut make = Command::new("/usr/bin/ssh-keygen");
        make.args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f", &path(name)]);
        assert!(make.status().unwrap().success());
    }
    fs::copy(path("client.pub"), path("authorized")).unwrap();
    let port = free_port();
    // Root's server wants this folder, which the service makes at boot.
    if nix::unistd::geteuid().is_root() {
        fs::create_dir_all("/run/sshd").unwrap();
    }
    let config = format!(
        "ListenAddress 127.0.0.1:{port}\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\n\
         UsePAM no\nStrictModes no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
         PermitRootLogin prohibit-password\nMaxStartups 100\nSubsystem sftp internal-sftp\n",
        path("host"),
        path("authorized")
    );
    fs::write(path("sshd_config"), config).unwrap();
    let host_key = fs::read_to_string(path("host.pub")).unwrap();
    fs::write(path("known"), format!("[127.0.0.1]:{port} {host_key}")).unwrap();
    fs::write(
        path("known_wrong"),
        format!("[127.0.0.1]:{port} {}", fs::read_to_string(path("stranger.pub")).unwrap()),
    )
    .unwrap();
    for (name, key, known) in [
        ("ssh_config", "client", "known"),
        ("ssh_config_stranger", "stranger", "known"),
        ("ssh_config_wrong_host", "client", "known_wrong"),
    ] {
        let text = format!(
            "Host store\n HostName 127.0.0.1\n Port {port}\n IdentityFile {}\n \
             IdentitiesOnly yes\n StrictHostKeyChecking yes\n UserKnownHostsFile {}\n \
             GlobalKnownHostsFile /dev/null\n",
            path(key),
            path(known)
        );
        fs::write(path(name), text).unwrap();
    }
    let words = [&sshd.display().to_string(), "-D", "-e", "-f", &path("sshd_config")];
    let log = folder.path().join("log");
    let (guard, life, _) = guarded(&words.map(|word| word.to_owned()), &log);
    wait_for(port, &log, || true);
    Some(SshServer { port, _life: Life { folder, guard, life } })
}

impl SshServer {
    /// A place of its own for one test; its folder does not exist yet.
    pub fn place(&self) -> String {
        static PLACES: AtomicUsize = AtomicUsize::new(0);
        let number = PLACES.fetch_add(1, Ordering::SeqCst);
        format!("sftp://store{}/stored/place-{number}", self._life.folder.path().display())
    }

    pub fn keys(&self) -> Pairs {
        self.keys_in("ssh_config")
    }

    pub fn keys_in(&self, config: &str) -> Pairs {
        let config = self._life.folder.path().join(config).display().to_string();
        vec![("GHOSTSNAP_SSH_CONFIG", config), ("GHOSTSNAP_RETRY_SECONDS", "20".to_owned())]
    }
}

/// A remote of rclone's: a folder.
pub struct RcloneRemote(tempfile::TempDir);

pub fn rclone() -> Option<RcloneRemote> {
    tool("rclone")?;
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("there")).unwrap();
    fs::write(folder.path().join("rclone.conf"), "[disk]\ntype = local\n").unwrap();
    Some(RcloneRemote(folder))
}

impl RcloneRemote {
    pub fn place(&self) -> String {
        format!("rclone:disk:{}/there/a/b", self.0.path().display())
    }

    pub fn keys(&self) -> Pairs {
        let config = self.0.path().join("rclone.conf").display().to_string();
        vec![("RCLONE_CONFIG", config), ("GHOSTSNAP_RETRY_SECONDS", "20".to_owned())]
    }
}
