#!/usr/bin/env python3
"""Kills the server with SIGKILL at random moments while it writes: it opens again, and nothing that it acknowledged is lost.

Usage: kill.py BINARY [TIMES]    TIMES: 20 if not given. Standard library only; everything stays on loopback.
"""
import http.client
import json
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

WRITERS = 3
START_PATIENCE = 20  # seconds


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    def __init__(self, binary: str, data: Path, port: int) -> None:
        command = [binary, "serve", "--port", str(port), "--data", str(data)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.port, self.key_file = port, data / "operator-key"
        until = time.monotonic() + START_PATIENCE
        while time.monotonic() < until and self.process.poll() is None:
            try:
                if self.ask("GET", "/api/server")[0] == 200:
                    return
            except OSError:
                time.sleep(0.02)
        raise SystemExit("the server does not start again")

    def ask(self, method: str, path: str, body: dict | None = None) -> tuple[int, dict]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        headers = {"authorization": f"Bearer {self.key_file.read_text().strip()}"} if path != "/api/server" else {}
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            answer = connection.getresponse()
            text = answer.read()
            return answer.status, json.loads(text) if text else {}
        finally:
            connection.close()

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


class Writer(threading.Thread):
    """Changes one room of its own until the server is gone, and remembers what was acknowledged."""

    def __init__(self, server: Server, room: str, asked: int, kept: int) -> None:
        super().__init__()
        self.server, self.room, self.asked, self.acknowledged, self.invites = server, room, asked, kept, []
        self.written = 0

    def run(self) -> None:
        try:
            while True:
                self.asked += 1
                change = {"title": f"title {self.asked}", "settings": {"question": f"question {self.asked}"}}
                if self.server.ask("PATCH", f"/api/rooms/{self.room}", change)[0] == 200:
                    self.acknowledged = self.asked
                    self.written += 1
                status, invite = self.server.ask("POST", f"/api/rooms/{self.room}/invites", {"role": "guest"})
                if status == 201:
                    self.invites.append(invite["id"])
                    self.server.ask("DELETE", f"/api/rooms/{self.room}/invites/{invite['id']}")
        except (OSError, http.client.HTTPException):
            pass  # killed


def number(text: str) -> int:
    return int(text.rsplit(" ", 1)[-1])


def main() -> int:
    binary, times = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 20
    seed = random.randrange(1 << 32)
    chance, lost, written, longest = random.Random(seed), 0, 0, 0.0
    with tempfile.TemporaryDirectory() as folder:
        data, port = Path(folder) / "data", free_port()
        server = Server(binary, data, port)
        rooms = [server.ask("POST", "/api/rooms", {"title": "title 0"})[1]["room"]["id"] for _ in range(WRITERS)]
        for room in rooms:
            server.ask("PATCH", f"/api/rooms/{room}", {"settings": {"question": "question 0"}})
        # What was asked last, and the least that is known to be kept.
        counts = dict.fromkeys(rooms, (0, 0))
        for _ in range(times):
            writers = [Writer(server, room, *counts[room]) for room in rooms]
            for writer in writers:
                writer.start()
            time.sleep(chance.uniform(0.05, 0.5))
            server.kill()
            for writer in writers:
                writer.join()
            began = time.monotonic()
            server = Server(binary, data, port)
            longest = max(longest, time.monotonic() - began)
            for writer in writers:
                kept = server.ask("GET", f"/api/rooms/{writer.room}")[1]
                listed = server.ask("GET", f"/api/rooms/{writer.room}/invites")[1]["invites"]
                values = [number(kept["name"]), number(kept["settings"]["question"])]
                for value in values:
                    # What was asked and not answered may be there or not.
                    lost += not writer.acknowledged <= value <= writer.asked
                lost += len(set(writer.invites) - {invite["id"] for invite in listed})
                written += writer.written + len(writer.invites)
                counts[writer.room] = (writer.asked, min(values))
        server.kill()
    good = lost == 0 and written >= times
    print(f"{'pass' if good else 'FAIL'}  killed {times} times: {written} acknowledged writes, {lost} lost, "
          f"back within {longest:.2f} s (seed {seed})")
    print(f"{int(good)} passed, {int(not good)} failed")
    return not good


if __name__ == "__main__":
    sys.exit(main())
