#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares Ghostsnap with restic on an S3 server on loopback, plain and far away.

Starts a SeaweedFS of its own and puts a proxy in front of it that counts requests and can hold back
the answer to each by a round trip. Steps: first backup, backup of the unchanged tree, backup after a
day of changes, listing of the newest snapshot, full restore (compared with the source). The README
next to this file says how to read it.

Exit codes: 0 done, 1 a step failed or something else came back, 2 it cannot run here.
"""

import argparse
import multiprocessing
import os
import random
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.dont_write_bytecode = True

# The flag above must come before these, so that no cache folder appears next to them.
import data  # noqa: E402
from compare import compare  # noqa: E402
from report import machine, median  # noqa: E402
from run import claim_work_folder, isolated, say  # noqa: E402
from tools import Ghostsnap, Restic, Tool, Usage  # noqa: E402

CHECKOUT = Path(__file__).resolve().parent.parent
KEY_ID, SECRET = "AKIABENCH", "only-for-benchmarks"
VERBS = (b"GET ", b"PUT ", b"POST ", b"HEAD ", b"DELETE ")
PIECE = 256 * 1024


class Proxy:
    """Stands in front of a port, in a process of its own."""

    def __init__(self, behind: int) -> None:
        self.requests = multiprocessing.Value("q", 0)
        self.held_ms = multiprocessing.Value("q", 0)
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        self.process = multiprocessing.Process(target=self._serve, args=(behind,), daemon=True)
        self.process.start()

    def _serve(self, behind: int) -> None:
        while True:
            client, _ = self.listener.accept()
            server = socket.create_connection(("127.0.0.1", behind))
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            asked = threading.Event()
            for work in (self._there, self._back):
                threading.Thread(target=work, args=(client, server, asked), daemon=True).start()

    def _there(self, client: socket.socket, server: socket.socket, asked: threading.Event) -> None:
        """Requests: one begins where the one before was answered."""
        def pieces():
            while piece := client.recv(PIECE):
                if not asked.is_set() and piece.startswith(VERBS):
                    with self.requests.get_lock():
                        self.requests.value += 1
                    asked.set()
                yield piece
        forward(pieces(), server)

    def _back(self, client: socket.socket, server: socket.socket, asked: threading.Event) -> None:
        def pieces():
            while piece := server.recv(PIECE):
                if asked.is_set() and not piece.startswith(b"HTTP/1.1 100"):
                    asked.clear()
                    time.sleep(self.held_ms.value / 1000)
                yield piece
        forward(pieces(), client)


def forward(pieces, to: socket.socket) -> None:
    """Passes pieces on until one side has enough."""
    try:
        for piece in pieces:
            to.sendall(piece)
        to.shutdown(socket.SHUT_WR)
    except OSError:
        to.close()


class Server:
    """A SeaweedFS with one bucket."""

    def __init__(self, weed: str, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "data").mkdir(parents=True)
        identity = (f'{{"identities":[{{"name":"all","credentials":[{{"accessKey":"{KEY_ID}",'
                    f'"secretKey":"{SECRET}"}}],"actions":["Admin","Read","Write","List"]}}]}}')
        (folder / "s3.json").write_text(identity, encoding="utf-8")
        self.port = free_ports()
        ports = {"s3.port": self.port, "s3.port.iceberg": 0, "s3.port.lance": 0,
                 "master.port": free_ports(), "volume.port": free_ports(),
                 "filer.port": free_ports()}
        command = [weed, "-logtostderr=true", "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
                   f"-dir={folder / 'data'}", "-filer", "-s3", "-volume.max=200",
                   "-master.volumeSizeLimitMB=1024", "-master.telemetry=false",
                   f"-s3.config={folder / 's3.json'}",
                   *(f"-{name}={port}" for name, port in ports.items())]
        self.log = open(folder / "log", "wb")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)

    def make_bucket(self) -> None:
        """Waits until it stores something."""
        command = ["curl", "-sS", "-f", "-X", "PUT", "--aws-sigv4", "aws:amz:us-east-1:s3",
                   "--user", f"{KEY_ID}:{SECRET}", f"http://127.0.0.1:{self.port}/bench"]
        for _ in range(120):
            if subprocess.run(command, capture_output=True, check=False).returncode == 0:
                return
            time.sleep(0.5)
        raise RuntimeError(f"the S3 server does not come up, see {self.log.name}")

    def stop(self) -> None:
        """Ends it."""
        self.process.kill()
        self.process.wait()
        self.log.close()


def free_ports() -> int:
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


def far(tool: Tool, proxy: Proxy, place: str) -> Tool:
    """The tool with a repository behind the proxy."""
    tool.repo = f"s3:http://127.0.0.1:{proxy.port}/bench/{place}"
    tool.secrets = {**tool.secrets, "AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET,
                    "AWS_DEFAULT_REGION": "us-east-1"}
    return tool


def steps(tool: Tool, tree: Path, folder: Path, log: Path, work: Path):
    """Name and action of each step, in order."""
    def changed() -> Usage:
        return tool.backup(tree, log)

    def restored() -> Usage:
        target = work / "restore" / tool.name
        target.mkdir(parents=True)
        usage = tool.restore(target, log)
        problems = isolated(compare, tree, target) if usage.exit_code == 0 else []
        shutil.rmtree(target)
        if problems:
            raise RuntimeError(f"{tool.name} restored something else: {problems}")
        return usage

    yield "init", lambda: tool.init(log)
    yield "first", lambda: tool.backup(tree, log)
    yield "unchanged", lambda: tool.backup(tree, log)
    isolated(data.change, "hosting", folder, 1)
    yield "changed", changed
    yield "list", lambda: tool.run("-r", tool.repo, "ls", "latest", log=log)
    yield "restore", restored
    isolated(data.revert, folder)


def run(options: argparse.Namespace, tools: list[Tool], server: Server, proxy: Proxy) -> list[dict]:
    """All steps of all tools, near and far."""
    folder = options.work / "data" / f"hosting-{options.scale:g}"
    isolated(data.prepare, "hosting", folder, options.scale)
    tree, rows = folder / "tree", []
    (options.work / "logs").mkdir(exist_ok=True)
    for number in range(options.runs):
        for held_ms in options.latency:
            proxy.held_ms.value = held_ms
            for tool in tools:
                tool.reset()
                far(tool, proxy, f"{tool.name}-{held_ms}-{number}")
                log = options.work / "logs" / f"{tool.name}-{held_ms}-{number}.log"
                for step, action in steps(tool, tree, folder, log, options.work):
                    before = proxy.requests.value
                    usage = action()
                    if usage.exit_code != 0:
                        isolated(data.revert, folder)
                        raise RuntimeError(f"{tool.name} failed at {step}, see {log}")
                    row = {"tool": tool.name, "held_ms": held_ms, "step": step,
                           "wall_s": usage.wall_s, "cpu_s": usage.user_s + usage.system_s,
                           "rss_mb": usage.rss_mb, "requests": proxy.requests.value - before}
                    rows.append(row)
                    say(f"{number} {held_ms} ms {step}: {tool.name} {usage.wall_s:.2f} s, "
                        f"{row['cpu_s']:.2f} CPU s, {usage.rss_mb:.0f} MB, "
                        f"{row['requests']} requests")
    return rows


def render(rows: list[dict], tools: list[Tool], scale: float) -> str:
    """Medians as Markdown."""
    lines = [f"{machine()}; scale {scale:g}", "", *(f"- {one.name}: {one.version()}" for one in tools),
             "", "| latency | step | tool | wall s | CPU s | RSS MB | requests |",
             "|--:|---|---|--:|--:|--:|--:|"]
    seen = dict.fromkeys((row["held_ms"], row["step"], row["tool"]) for row in rows)
    for held_ms, step, tool in sorted(seen, key=lambda one: list(seen).index(one)):
        found = [row for row in rows
                 if (row["held_ms"], row["step"], row["tool"]) == (held_ms, step, tool)]
        cell = {key: median([row[key] for row in found])
                for key in ("wall_s", "cpu_s", "rss_mb", "requests")}
        lines.append(f"| {held_ms} ms | {step} | {tool} | {cell['wall_s']:.2f} | "
                     f"{cell['cpu_s']:.2f} | {cell['rss_mb']:.0f} | {cell['requests']:.0f} |")
    return "\n".join(lines) + "\n"


def parse_arguments() -> argparse.Namespace:
    """Reads the command line."""
    work = Path(os.environ.get("TMPDIR", "/tmp")) / "ghostsnap-bench-stores"
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--scale", type=float, default=1.0, help="size of the data, 1.0 is full")
    parser.add_argument("--runs", type=int, default=3, help="runs; the median is reported")
    parser.add_argument("--latency", default="0,50", help="milliseconds, commas between")
    parser.add_argument("--ghostsnap", default=str(CHECKOUT / "target/release/ghostsnap"))
    parser.add_argument("--restic", default="restic", help="its program")
    parser.add_argument("--weed", default="/opt/ghostsnap-test-tools/bin/weed")
    parser.add_argument("--work", type=Path, default=work, help="folder for everything written")
    parser.add_argument("--timeout", type=int, default=3_600, help="seconds for one command")
    options = parser.parse_args()
    options.latency = [int(one) for one in options.latency.split(",")]
    options.work = options.work.resolve()
    return options


def main() -> int:
    """Runs all of it and prints the report."""
    options = parse_arguments()
    weed, restic = shutil.which(options.weed), shutil.which(options.restic)
    if weed is None or restic is None:
        say("weed or restic is not here; tests/tools/setup.sh installs both")
        return 2
    claim_work_folder(options.work)
    server = Server(weed, options.work / "server")
    try:
        server.make_bucket()
        proxy = Proxy(server.port)
        tools = [Ghostsnap(options.ghostsnap, options.work / "ghostsnap", options.timeout),
                 Restic(restic, options.work / "restic", options.timeout)]
        for tool in tools:
            tool.reset()
        print(render(run(options, tools, server, proxy), tools, options.scale), end="")
    except RuntimeError as error:
        say(str(error))
        return 1
    finally:
        server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
