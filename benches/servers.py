# SPDX-License-Identifier: MIT
"""The stores of `stores.py`: an S3 server and Azurite, and how each program is told of them."""

import base64
import email.utils
import hashlib
import hmac
import http.client
import os
import random
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

# A bucket of the one, a container of the other.
BUCKET = "bench"
KEY_ID, SECRET = "AKIABENCH", "only-for-benchmarks"
# Not the account that Azurite knows from the start: old versions of restic look for that one at the
# port that Azurite has by default.
ACCOUNT, ACCOUNT_KEY = "ghostbench", base64.b64encode(SECRET.encode()).decode()
# Where restic looks for it; it asks the proxy for the way there.
NAME = f"{ACCOUNT}.blob.core.windows.net"
READY_TRIES_MAX = 120


class Server:
    """A server with one empty bucket; everything it stores is below `folder`."""

    name = ""

    def __init__(self, tools: Path, folder: Path) -> None:
        """Starts it, and waits until it stores something."""
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "data").mkdir(parents=True)
        self.folder = folder
        self.port = free_port()
        self.log = open(folder / "log", "wb")
        environment = {**os.environ, "AZURITE_ACCOUNTS": f"{ACCOUNT}:{ACCOUNT_KEY}"}
        self.process = subprocess.Popen(self.command(tools), stdout=self.log, stderr=self.log,
                                        stdin=subprocess.DEVNULL, env=environment)
        for _ in range(READY_TRIES_MAX):
            if self.process.poll() is None and self.make_bucket():
                return
            time.sleep(0.5)
        self.stop()
        raise RuntimeError(f"{self.name} does not come up, see {self.log.name}")

    @staticmethod
    def lacks(tools: Path) -> list[str]:
        """What it needs and is not here."""
        raise NotImplementedError

    def command(self, tools: Path) -> list[str]:
        """What starts it."""
        raise NotImplementedError

    def make_bucket(self) -> bool:
        """Returns whether there is one."""
        raise NotImplementedError

    def certificate(self) -> Path | None:
        """Key and certificate for the proxy in front of it, if the programs are to use TLS."""
        return None

    def address(self, tool: str, port: int, place: str) -> tuple[str, dict[str, str]]:
        """Repository and environment with which a program gets to a place, through a port."""
        raise NotImplementedError

    def stop(self) -> None:
        """Ends it and removes what it stored."""
        self.process.kill()
        self.process.wait()
        self.log.close()
        shutil.rmtree(self.folder / "data", ignore_errors=True)


class Seaweed(Server):
    """SeaweedFS."""

    name = "s3"

    @staticmethod
    def lacks(tools: Path) -> list[str]:
        here = {"weed": (tools / "bin/weed").exists(), "curl": shutil.which("curl") is not None}
        return [name for name, there in here.items() if not there]

    def command(self, tools: Path) -> list[str]:
        identity = (f'{{"identities":[{{"name":"all","credentials":[{{"accessKey":"{KEY_ID}",'
                    f'"secretKey":"{SECRET}"}}],"actions":["Admin","Read","Write","List"]}}]}}')
        (self.folder / "s3.json").write_text(identity, encoding="utf-8")
        ports = {"s3.port": self.port, "s3.port.iceberg": 0, "s3.port.lance": 0,
                 "master.port": free_port(), "volume.port": free_port(),
                 "filer.port": free_port()}
        return [str(tools / "bin/weed"), "-logtostderr=true", "server", "-ip=127.0.0.1",
                "-ip.bind=127.0.0.1", f"-dir={self.folder / 'data'}", "-filer", "-s3",
                "-volume.max=200", "-master.volumeSizeLimitMB=1024", "-master.telemetry=false",
                f"-s3.config={self.folder / 's3.json'}",
                *(f"-{name}={port}" for name, port in ports.items())]

    def make_bucket(self) -> bool:
        command = ["curl", "-sS", "-f", "-X", "PUT", "--aws-sigv4", "aws:amz:us-east-1:s3",
                   "--user", f"{KEY_ID}:{SECRET}", f"http://127.0.0.1:{self.port}/{BUCKET}"]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def address(self, tool: str, port: int, place: str) -> tuple[str, dict[str, str]]:
        endpoint = f"http://127.0.0.1:{port}"
        if tool == "rustic":
            return opendal("s3", bucket=BUCKET, root=place, endpoint=endpoint, region="us-east-1",
                           access_key_id=KEY_ID, secret_access_key=SECRET)
        keys = {"AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET,
                "AWS_DEFAULT_REGION": "us-east-1"}
        return f"s3:{endpoint}/{BUCKET}/{place}", keys


class Azurite(Server):
    """Azurite, Microsoft's emulator of the blob service; all programs come to it by TLS, because
    restic knows no other way."""

    name = "azure"

    @staticmethod
    def lacks(tools: Path) -> list[str]:
        here = {"azurite": azurite(tools).exists()}
        here |= {name: shutil.which(name) is not None for name in ("node", "openssl")}
        return [name for name, there in here.items() if not there]

    def command(self, tools: Path) -> list[str]:
        return ["node", str(azurite(tools)), "--blobHost", "127.0.0.1", "--blobPort",
                str(self.port), "--location", str(self.folder / "data"), "--skipApiVersionCheck",
                "--disableTelemetry", "--silent"]

    def make_bucket(self) -> bool:
        date, version = email.utils.formatdate(usegmt=True), "2021-12-02"
        text = ("PUT" + "\n" * 12 + f"x-ms-date:{date}\nx-ms-version:{version}\n"
                f"/{ACCOUNT}/{ACCOUNT}/{BUCKET}\nrestype:container")
        digest = hmac.digest(base64.b64decode(ACCOUNT_KEY), text.encode(), hashlib.sha256)
        headers = {"x-ms-date": date, "x-ms-version": version, "content-length": "0",
                   "authorization": f"SharedKey {ACCOUNT}:{base64.b64encode(digest).decode()}"}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("PUT", f"/{ACCOUNT}/{BUCKET}?restype=container", headers=headers)
            return connection.getresponse().status in (201, 409)
        except OSError:
            return False
        finally:
            connection.close()

    def certificate(self) -> Path:
        """One of an authority that exists only for it: the programs trust nobody else."""
        folder, both = self.folder, self.folder / "both.pem"
        (folder / "openssl.cnf").write_text(
            "[req]\ndistinguished_name=name\n[name]\n"
            "[authority]\nbasicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n"
            "[server]\nbasicConstraints=critical,CA:FALSE\n"
            f"subjectAltName=IP:127.0.0.1,DNS:{NAME}\n", encoding="utf-8")
        make = ["openssl", "req", "-config", folder / "openssl.cnf", "-x509", "-newkey", "ec",
                "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"]
        run([*make, "-subj", "/CN=benchmark authority", "-extensions", "authority",
             "-keyout", folder / "ca.key", "-out", folder / "ca.pem"])
        run([*make, "-subj", "/CN=benchmark", "-extensions", "server", "-CA", folder / "ca.pem",
             "-CAkey", folder / "ca.key", "-keyout", folder / "key.pem",
             "-out", folder / "cert.pem"])
        both.write_bytes((folder / "key.pem").read_bytes() + (folder / "cert.pem").read_bytes())
        return both

    def address(self, tool: str, port: int, place: str) -> tuple[str, dict[str, str]]:
        endpoint = f"https://127.0.0.1:{port}/{ACCOUNT}"
        trust = {"SSL_CERT_FILE": str(self.folder / "ca.pem")}
        if tool == "rustic":
            repo, keys = opendal("azblob", container=BUCKET, root=place, endpoint=endpoint,
                                 account_name=ACCOUNT, account_key=ACCOUNT_KEY)
        elif tool == "restic":
            repo, keys = f"azure:{BUCKET}:/{place}", {
                "AZURE_ACCOUNT_NAME": ACCOUNT, "AZURE_ACCOUNT_KEY": ACCOUNT_KEY,
                "HTTPS_PROXY": f"http://127.0.0.1:{port}"}
        else:
            repo, keys = f"azure:{BUCKET}/{place}", {
                "AZURE_STORAGE_ACCOUNT": ACCOUNT, "AZURE_STORAGE_KEY": ACCOUNT_KEY,
                "AZURE_STORAGE_BLOB_ENDPOINT": endpoint}
        return repo, keys | trust


def opendal(service: str, **options: str) -> tuple[str, dict[str, str]]:
    """A repository as rustic takes it."""
    return f"opendal:{service}", {f"OPENDAL_{key.upper()}": value for key, value in options.items()}


def azurite(tools: Path) -> Path:
    """Its main file."""
    return tools / "node_modules/azurite/dist/src/blob/main.js"


def run(command: list) -> None:
    """Runs something that must not fail."""
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} failed: {done.stderr}")


def free_port() -> int:
    """A port whose neighbour 10,000 above is free as well: SeaweedFS takes both."""
    while True:
        # Below the ports that the kernel gives to outgoing connections.
        port = random.randrange(20_000, 22_700)
        try:
            with socket.create_server(("127.0.0.1", port)):
                with socket.create_server(("127.0.0.1", port + 10_000)):
                    return port
        except OSError:
            continue


SERVERS: dict[str, Callable[..., Server]] = {one.name: one for one in (Seaweed, Azurite)}
TOOLS_FOLDER = Path(os.environ.get("GHOSTSNAP_TEST_TOOLS", "/opt/ghostsnap-test-tools"))
