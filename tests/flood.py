#!/usr/bin/env python3
"""What strangers can do to the port: silence, slowness, size, numbers, datagrams (`datagrams.py`), HTTP/2 (`http2.py`). Meanwhile
a call and somebody else's requests go on (`beside.py`), and afterwards the memory is there again. Many loopback addresses
stand for many households; everything is bounded and stays on loopback.

Usage: flood.py BINARY    Needs openssl and Linux.
"""
import asyncio
import http.client
import json
import resource
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from beside import HERE, Call, Server, Somebody
from certificates import check, closing_line, make, until
from datagrams import over_tcp, over_udp
from http2 import over_http2

SILENT, HOUSEHOLDS = 10_000, 200  # connections that say nothing, and the addresses they come from
SLOW = 300  # connections that send their request a byte at a time
# Limits of the server (server/enza/src/listen): of one address, silent ones of one address, seconds for a handshake.
PER_NETWORK, SILENT_PER_NETWORK, PATIENCE = 512, 64, 10
GUESSES = 50  # at the same moment


def enough_files() -> int:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def household(number: int) -> str:
    return f"127.1.{number // 250}.{number % 250 + 1}"


def still_open(connections: list[socket.socket]) -> list[socket.socket]:
    left = []
    for connection in connections:
        connection.setblocking(False)
        try:
            if connection.recv(1) == b"":
                connection.close()
                continue
        except BlockingIOError:
            pass
        except OSError:
            connection.close()
            continue
        left.append(connection)
    return left


def silence(server: Server, number: int) -> None:
    somebody = Somebody(server)
    somebody.start()
    opened, began = [], time.monotonic()
    for at in range(number):
        connection = socket.socket()
        connection.bind((household(at % HOUSEHOLDS), 0))
        connection.setblocking(False)
        try:
            connection.connect((HERE, server.port))
        except BlockingIOError:
            pass
        opened.append(connection)
        if at % 50 == 0:
            time.sleep(0.005)
    took = time.monotonic() - began
    time.sleep(0.5)
    files = server.files()
    opened = still_open(opened)
    check(f"of {number} silent connections about a thousand are held", files < 1200, f"{files} descriptors, {took:.1f} s")
    gone = until(lambda: server.files() < 100, PATIENCE + 10)
    check("and those are closed after ten seconds", gone is not None, f"{gone or 0:.1f} s later: {server.files()} descriptors")
    somebody.report("silence from everywhere")
    for connection in opened:
        connection.close()


def one_address(server: Server) -> None:
    opened, refused = [], 0
    for _ in range(PER_NETWORK + 40):
        # Without TLS, so that the last ones come before the first are closed for being idle.
        plain = socket.create_connection((HERE, server.port), timeout=10, source_address=("127.2.0.1", 0))
        try:
            plain.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answered = plain.recv(100).startswith(b"HTTP/1.1 308")
        except OSError:
            answered = False
        if answered:
            opened.append(plain)
        else:
            refused += 1
    check("one address may have so many connections and no more", len(opened) == PER_NETWORK and refused > 0,
          f"{len(opened)} answered, {refused} refused")
    check("another address may still come", server.ask() < 5)
    for plain in opened:
        plain.close()


async def slowly(server: Server, number: int) -> list[float]:
    """Seconds until each connection that sends a byte a second is closed."""
    # Handshakes are work for this end too, and have ten seconds.
    shaking = asyncio.Semaphore(10)

    async def one(at: int) -> float:
        async with shaking:
            reader, writer = await asyncio.open_connection(
                HERE, server.port, ssl=server.trust, server_hostname="localhost", local_addr=(household(at % 20), 0))
        began = time.monotonic()
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nx: ")
        try:
            while True:
                writer.write(b"y")
                try:
                    if await asyncio.wait_for(reader.read(100), 1) == b"":
                        break
                except TimeoutError:
                    pass
                if time.monotonic() - began > 40:
                    break
        except OSError:
            pass
        writer.close()
        return time.monotonic() - began

    return await asyncio.gather(*(one(at) for at in range(number)))


def answer_to(server: Server, request: bytes, rest: float = 0) -> tuple[str, float]:
    """The status line, and when it came; the connection is kept open for `rest` seconds at most."""
    began = time.monotonic()
    with server.connect() as tls:
        tls.settimeout(rest or 10)
        try:
            tls.sendall(request)
            answer = tls.recv(200)
        except OSError as error:
            answer = str(error).encode()
    return answer.split(b"\r\n")[0].decode("latin-1"), time.monotonic() - began


POST = b"POST /api/join HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


def sizes(server: Server) -> None:
    line, _ = answer_to(server, b"GET / HTTP/1.1\r\nHost: localhost\r\nx: " + b"y" * 400_000 + b"\r\n\r\n")
    check("headers of 400 kB are refused", " 431 " in line + " " or any(end in line for end in ("reset", "EOF")), line)
    line, took = answer_to(server, POST + b"Content-Length: 1000000000\r\n\r\n{")
    check("a body of 1 GB is refused before it is sent", " 413 " in line and took < 2, f"{line}, {took:.1f} s")
    line, _ = answer_to(server, POST + b"Transfer-Encoding: chunked\r\n\r\n" + (b"8000\r\n" + b"x" * 0x8000 + b"\r\n") * 4)
    check("an endless body is refused where it gets too long", " 413 " in line, line)


def guesses(server: Server) -> None:
    """Wrong passphrases, all of them at once: counted one by one all the same."""
    key = (server.data / "operator-key").read_text().strip()

    def ask(method: str, path: str, body: dict, **headers: str) -> tuple[int, dict]:
        connection = http.client.HTTPSConnection("localhost", server.port, context=server.trust, timeout=120,
                                                 source_address=("127.6.0.1", 0))
        connection.request(method, path, json.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, json.loads(text) if text else {}

    operator = {"Authorization": f"Bearer {key}"}
    room = ask("POST", "/api/rooms", {"title": "guessed"}, **operator)[1]
    invite = room["guestLink"].split("#")[1]
    set_, _ = ask("PUT", f"/api/rooms/{room['room']['id']}/passphrase", {"passphrase": "plover"}, **operator)
    began = time.monotonic()
    with ThreadPoolExecutor(GUESSES) as all_at_once:
        found = list(all_at_once.map(
            lambda at: ask("POST", "/api/join", {"invite": invite, "name": "Goro", "passphrase": f"wrong {at}"}), range(GUESSES)))
    took = time.monotonic() - began
    codes = Counter(said.get("code") for _, said in found)
    check(f"{GUESSES} wrong passphrases at the same moment: twenty are looked at",
          # One is forgiven every ten seconds.
          set_ < 300 and 20 <= codes["passphrase-wrong"] <= 21 + took / 10 and codes["too-many-attempts"] == GUESSES - codes["passphrase-wrong"],
          f"{dict(codes)}, {took:.1f} s")


class Waiting(threading.Thread):
    """A body that does not come, while other things happen."""

    def __init__(self, server: Server) -> None:
        super().__init__(daemon=True)
        self.server, self.found = server, ("", 0.0)
        self.start()

    def run(self) -> None:
        self.found = answer_to(self.server, POST + b"Content-Length: 100\r\n\r\n{", rest=25)

    def report(self) -> None:
        self.join(30)
        line, took = self.found
        check("a body that does not come is given up", " 408 " in line and 10 < took < 20, f"{line}, {took:.1f} s")


def no_descriptors(binary: str, folder: Path, pair: tuple[Path, Path]) -> None:
    server = Server(binary, folder, pair, files=256)
    opened = []
    for at in range(400):
        connection = socket.socket()
        connection.bind((household(at), 0))
        connection.setblocking(False)
        try:
            connection.connect((HERE, server.port))
        except BlockingIOError:
            pass
        opened.append(connection)
    time.sleep(1)
    files = server.files()
    check("with 256 descriptors allowed, some are kept for the rest", files < 256, f"{files} used")
    # Now they are really gone: no more than there are may be open.
    resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (files, 256))
    for connection in opened:
        connection.close()
    time.sleep(1)
    resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (10, 256))
    try:
        server.ask()
        starved = False
    except OSError:
        starved = True
    told = until(lambda: "cannot be accepted" in server.log.read_text(), 5)
    check("without any it accepts nobody, and says so", starved and told is not None)
    resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (256, 256))
    check("with some again it goes on by itself", until(lambda: server.ask() < 5, 15) is not None)
    lines = server.log.read_text().count("cannot be accepted")
    check("the log is not flooded", lines <= 5, f"{lines} lines")
    check("it ends well", server.stop() == 0)


def main(binary: str, folder: Path) -> None:
    number = min(SILENT, enough_files() - 1000)
    pair = make(folder, "flood")
    server = Server(binary, folder, pair)
    try:
        for _ in range(20):
            server.ask()
        before = server.memory()
        call = Call(binary, server)
        call.quiet("before", 3)
        with call.during("silence from everywhere"):
            silence(server, number)
        with call.during("slowness"):
            somebody = Somebody(server)
            somebody.start()
            closed = asyncio.run(slowly(server, SLOW))
            check(f"{SLOW} requests that come a byte a second are given up", max(closed) < PATIENCE + 5,
                  f"after {min(closed):.1f} to {max(closed):.1f} s")
            somebody.report("slowness")
        waiting = Waiting(server)
        with call.during("numbers and sizes"):
            one_address(server)
            sizes(server)
            guesses(server)
        over_udp(server, call)
        over_http2(server, call)
        over_tcp(server, call)
        waiting.report()
        call.quiet("after", 4)
        call.report()
        until(lambda: server.files() < 60, 15)
        after = server.memory()
        check("the memory is there again", after < before + 30_000, f"{before // 1024} MiB before, {after // 1024} MiB after")
        check("nothing broke", "panicked" not in server.log.read_text() and server.stop() == 0)
        no_descriptors(binary, folder, pair)
    finally:
        if server.process.poll() is None:
            server.process.kill()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        main(sys.argv[1], Path(scratch))
    closing_line()
