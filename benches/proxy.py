# SPDX-License-Identifier: MIT
"""A proxy in front of a store, which counts requests and makes the way to it long."""

import contextlib
import multiprocessing
import select
import socket
import ssl
import threading
import time
from pathlib import Path

VERBS = (b"GET ", b"PUT ", b"POST ", b"HEAD ", b"DELETE ", b"PATCH ", b"OPTIONS ")
PIECE = 256 * 1024


class Proxy:
    """Stands in front of a port, in a process of its own.

    A round trip passes before a new connection carries anything, one more for TLS, and one before
    the answer to each request. How fast the bytes then flow is left alone.

    With a certificate it speaks TLS, and what stands behind it does not. Whoever takes it for the
    proxy that it is and asks for a CONNECT gets there as well: that is how a program that insists
    on a host name reaches a server on loopback."""

    def __init__(self, behind: int, held_ms: int, certificate: Path | None) -> None:
        self.requests = multiprocessing.Value("q", 0)
        self.connections = multiprocessing.Value("q", 0)
        self.behind, self.held_s, self.context = behind, held_ms / 1000, None
        if certificate is not None:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(certificate)
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        self.process = multiprocessing.Process(target=self._serve, daemon=True)
        self.process.start()

    def stop(self) -> None:
        """Ends it."""
        self.process.kill()
        self.process.join()
        self.listener.close()

    def _serve(self) -> None:
        while True:
            client, _ = self.listener.accept()
            threading.Thread(target=self._connection, args=(client,), daemon=True).start()

    def _connection(self, client: socket.socket) -> None:
        """One connection from its beginning to its end."""
        count(self.connections)
        # A side that goes away in the middle of something is no news.
        with contextlib.suppress(OSError), contextlib.ExitStack() as ends:
            ends.callback(lambda: client.close())
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            time.sleep(self.held_s)
            if self.context is not None:
                accept_connect(client)
                client = self.context.wrap_socket(client, server_side=True)
                time.sleep(self.held_s)
            server = ends.enter_context(socket.create_connection(("127.0.0.1", self.behind)))
            server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._pass_on(client, server)

    def _pass_on(self, client: socket.socket, server: socket.socket) -> None:
        """Requests there, answers back. A request begins where the one before was answered."""
        asked = False
        while True:
            for end in select.select([client, server], [], [])[0]:
                piece = receive(end)
                if not piece:
                    return
                if end is client:
                    if not asked and piece.startswith(VERBS):
                        asked = True
                        count(self.requests)
                    server.sendall(piece)
                    continue
                if asked:
                    # "Continue" costs a round trip, and then the answer costs one.
                    asked = piece.startswith(b"HTTP/1.1 100")
                    time.sleep(self.held_s)
                client.sendall(piece)


def accept_connect(client: socket.socket) -> None:
    """Agrees to a CONNECT, if there is one before TLS begins."""
    if client.recv(1, socket.MSG_PEEK) != b"C":
        return
    head = b""
    while not head.endswith(b"\r\n\r\n") and (piece := client.recv(1)):
        head += piece
    client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")


def receive(end: socket.socket) -> bytes:
    """What has come; of TLS, all that was decrypted with it."""
    piece = end.recv(PIECE)
    if not isinstance(end, ssl.SSLSocket):
        return piece
    pieces = [piece]
    while waiting := end.pending():
        pieces.append(end.recv(waiting))
    return b"".join(pieces)


def count(value) -> None:
    """Adds one to what two processes share."""
    with value.get_lock():
        value.value += 1
