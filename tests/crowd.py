#!/usr/bin/env python3
"""How long a command takes in a full circle: people by text alone inside, and people who wait before the door.

Prints the time from a command to its `ok` (p50, p99, longest), the time until everybody heard of it, and the server's
memory. Fails when somebody does not get in or hears nothing, never for being slow.

Usage: crowd.py BINARY [INSIDE WAITING]    500 and 1000 if not given. Standard library only; everything stays on loopback.
"""
import asyncio
import base64
import hashlib
import hmac
import json
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from frames import TEXT, frame, knock, texts

KEY, SECRET, ROOM = "crowd", os.urandom(24).hex(), "crowd"
COMMANDS = 30  # of each kind
PACE = 0.25  # seconds between commands: one person may send five a second
AT_ONCE = 50  # sockets that open at the same time
PATIENCE = 60  # seconds


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def token(identity: str, role: str) -> str:
    def part(value: dict) -> bytes:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")

    video = {"room": ROOM, "roomJoin": True, "canPublish": role != "listener", "roomAdmin": role == "host"}
    claims = {"iss": KEY, "sub": identity, "name": identity, "nbf": 0, "exp": int(time.time()) + 3600,
              "video": video, "attributes": {"enza.role": role}}
    signed = part({"alg": "HS256", "typ": "JWT"}) + b"." + part(claims)
    seal = hmac.new(SECRET.encode(), signed, hashlib.sha256).digest()
    return (signed + b"." + base64.urlsafe_b64encode(seal).rstrip(b"=")).decode()


class Person:
    """One circle socket that reads everything it is told."""

    def __init__(self) -> None:
        self.asked, self.first, self.answers, self.newest, self.heard = 0, None, {}, 0, 0
        self.opened = asyncio.get_running_loop().create_future()
        self.wanted: tuple[str, asyncio.Future] | None = None

    async def open(self, port: int, identity: str, role: str) -> "Person":
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 22)
        path = f"/api/rooms/{ROOM}/circle?access_token={token(identity, role)}"
        status = await knock(self.reader, self.writer, port, path)
        if b" 101 " not in status:
            raise SystemExit(f"{identity} does not get in: {status!r}")
        self.reading = asyncio.create_task(self.read())
        self.first = await asyncio.wait_for(asyncio.shield(self.opened), PATIENCE)
        return self

    async def read(self) -> None:
        async for body in texts(self.reader, self.writer):
            self.told(body)

    def told(self, body: bytes) -> None:
        self.heard += 1
        if not self.opened.done():
            self.opened.set_result(json.loads(body))
        elif body.startswith(b'{"type":"ok"') or body.startswith(b'{"type":"refused"'):
            said = json.loads(body)
            if waiting := self.answers.pop(said.get("id"), None):
                waiting.set_result(said)
        if self.wanted and self.wanted[0].encode() in body and not self.wanted[1].done():
            self.wanted[1].set_result(None)

    async def ask(self, **command) -> float:
        """Seconds until it is answered `ok`."""
        self.asked += 1
        self.answers[self.asked] = asyncio.get_running_loop().create_future()
        waiting, began = self.answers[self.asked], time.perf_counter()
        self.writer.write(frame(TEXT, json.dumps({"id": self.asked, **command}).encode()))
        said = await asyncio.wait_for(waiting, PATIENCE)
        if said["type"] != "ok":
            raise SystemExit(f"{command['type']}: {said}")
        return time.perf_counter() - began

    def until(self, words: str) -> asyncio.Future:
        self.wanted = (words, asyncio.get_running_loop().create_future())
        return self.wanted[1]


async def crowd(port: int, names: list[str], role: str) -> tuple[list[Person], float]:
    began, people = time.perf_counter(), []
    for start in range(0, len(names), AT_ONCE):
        people += await asyncio.gather(*(Person().open(port, name, role) for name in names[start:start + AT_ONCE]))
    return people, time.perf_counter() - began


def line(name: str, seconds: list[float]) -> str:
    millis = sorted(second * 1000 for second in seconds)
    p99 = millis[min(len(millis) - 1, round(len(millis) * 0.99))]
    return f"{name:34} p50 {statistics.median(millis):7.1f} ms   p99 {p99:7.1f} ms   longest {millis[-1]:7.1f} ms"


def memory(pid: int) -> float:
    """Resident MB."""
    status = Path(f"/proc/{pid}/status")
    found = [row for row in status.read_text().splitlines() if row.startswith("VmRSS")] if status.exists() else []
    return int(found[0].split()[1]) / 1024 if found else float("nan")


async def measure(port: int, pid: int, inside: int, waiting: int) -> None:
    started = memory(pid)
    host = await Person().open(port, "host", "host")
    await host.ask(type="change-room", set={"capacity": 500, "lobby": "off"})
    people, took = await crowd(port, [f"p{number}" for number in range(inside - 1)], "speaker")
    if not all(person.first["type"] == "state" for person in people):
        raise SystemExit("somebody inside has no state")
    print(f"{inside} inside after {took:.1f} s, {memory(pid) - started:.0f} MB more than {started:.0f} MB")

    everybody, asking = [host, *people], people[0] if people else host
    answered, everywhere = [], []
    for number in range(COMMANDS):
        for command in ({"type": "raise-hand"}, {"type": "lower-hand"}):
            answered.append(await asking.ask(**command))
            await asyncio.sleep(PACE)
        body = f"words {number}"
        heard = [person.until(f'"body":"{body}"') for person in everybody]
        began = time.perf_counter()
        answered.append(await host.ask(type="write", to="everyone", body=body))
        await asyncio.wait_for(asyncio.gather(*heard), PATIENCE)
        everywhere.append(time.perf_counter() - began)
        await asyncio.sleep(PACE)
    print(line(f"answered, {inside} inside", answered))
    print(line("a text is everywhere", everywhere))
    alone = statistics.median(answered)

    # A full room lets nobody wait.
    await everybody.pop().ask(type="leave")
    before = memory(pid)
    await host.ask(type="change-room", set={"lobby": "guests"})
    outside, took = await crowd(port, [f"w{number}" for number in range(waiting)], "speaker")
    if not all(person.first["type"] == "waiting" for person in outside):
        raise SystemExit(f"somebody who waits was not told so: {[person.first for person in outside][-1]}")
    print(f"{waiting} waiting after {took:.1f} s, {memory(pid) - before:.0f} MB more")
    answered = []
    for number in range(COMMANDS):
        answered.append(await asking.ask(type="raise-hand" if number % 2 == 0 else "lower-hand"))
        await asyncio.sleep(PACE)
    print(line(f"answered, {waiting} waiting", answered))
    print(f"ratio of the two medians {statistics.median(answered) / alone:.2f}")
    lines = [await host.ask(type="tell-waiting", participant=f"w{number}", line="One moment.")
             for number in range(0, min(waiting, 20))]
    print(line("a line to somebody who waits", lines))
    began = time.perf_counter()
    await host.ask(type="end")
    await asyncio.wait_for(asyncio.gather(*(person.reading for person in [*everybody, *outside])), PATIENCE)
    print(f"ended for everybody after {(time.perf_counter() - began) * 1000:.0f} ms, server {memory(pid):.0f} MB")
    print("1 passed, 0 failed")


def main() -> None:
    binary = sys.argv[1]
    inside, waiting = (int(sys.argv[2]), int(sys.argv[3])) if len(sys.argv) > 3 else (500, 1000)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4 * (inside + waiting) + 100)), hard))
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        command = [binary, "serve", "--bind", "127.0.0.1", "--port", str(port), "--data", f"{folder}/data",
                   "--api-key", KEY, "--api-secret", SECRET]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            for _ in range(1000):
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    time.sleep(0.02)
            asyncio.run(measure(port, server.pid, inside, waiting))
        finally:
            server.terminate()
            server.wait(10)


if __name__ == "__main__":
    main()
