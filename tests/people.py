"""A server, a circle on it and the people inside, by text alone, for tests in which something breaks around them."""
import asyncio
import contextlib
import http.client
import itertools
import json
import os
import signal
import socket
import ssl
import subprocess
import time
from pathlib import Path

from frames import TEXT, frame, knock, texts

PATIENCE = 20  # seconds
PEOPLE = "127.0.0.77"  # where people come from: an address that nothing else has
count = {"pass": 0, "FAIL": 0, "skip": 0}
numbers = itertools.count(1)


class Part:
    """One thing that breaks."""

    def __init__(self, name: str) -> None:
        self.name = name

    def check(self, what: str, ok: object, detail: object = "") -> None:
        self.tell("pass" if ok else "FAIL", what, detail)

    def skip(self, why: str) -> None:
        self.tell("skip", why, "")

    def tell(self, verdict: str, what: str, detail: object) -> None:
        count[verdict] += 1
        print(f"{verdict}  {self.name + ':':<13}{what:<68} {detail}", flush=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def until(condition, patience: float = PATIENCE) -> float | None:
    """Seconds until it held."""
    began = time.monotonic()
    while time.monotonic() - began < patience:
        with contextlib.suppress(OSError, http.client.HTTPException):
            if await condition():
                return time.monotonic() - began
        await asyncio.sleep(0.05)
    return None


def after(seconds: float | None) -> str:
    return "never" if seconds is None else f"after {seconds:.2f} s"


class Server:
    binary = ""

    def __init__(self, folder: Path, data: Path, *flags: object, trust: Path | None = None, **environment: str) -> None:
        self.folder, self.data, self.flags, self.environment = folder, data, flags, environment
        self.trust = ssl.create_default_context(cafile=trust) if trust else None
        self.port, self.log = free_port(), folder / "log"

    def begin(self, **wishes) -> subprocess.Popen:
        return subprocess.Popen(
            [self.binary, "serve", "--bind", "127.0.0.1", "--port", str(self.port), "--data", self.data, *self.flags],
            env={**os.environ, "LANG": "C", "RUST_LOG": "debug", **self.environment}, **wishes)

    async def start(self) -> "Server":
        with self.log.open("ab") as log:
            self.process = self.begin(stdout=subprocess.DEVNULL, stderr=log)

        async def answers() -> bool:
            if self.process.poll() is not None:
                raise SystemExit(f"the server does not start:\n{self.log.read_text()[-2000:]}")
            return (await self.ask("GET", "/healthz"))[0] == 200

        if await until(answers) is None:
            raise SystemExit("the server does not answer")
        return self

    async def ask(self, method: str, path: str, body: dict | None = None, patience: float = 15) -> tuple[int, dict]:
        return await asyncio.to_thread(self._ask, method, path, body, patience)

    def _ask(self, method: str, path: str, body: dict | None, patience: float) -> tuple[int, dict]:
        wanted = {"timeout": patience, "source_address": (PEOPLE, 0)}
        connection = (http.client.HTTPSConnection("localhost", self.port, context=self.trust, **wanted) if self.trust
                      else http.client.HTTPConnection("127.0.0.1", self.port, **wanted))
        headers = {}
        if path.startswith(("/api/rooms", "/metrics")):
            headers["authorization"] = f"Bearer {(self.data / 'operator-key').read_text().strip()}"
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            answer = connection.getresponse()
            text = answer.read().decode()
            return answer.status, json.loads(text) if text.startswith("{") else {"text": text}
        finally:
            connection.close()

    async def room(self, title: str = "circle") -> dict:
        made = (await self.ask("POST", "/api/rooms", {"title": title}))[1]
        return {"id": made["room"]["id"], **{who: made[f"{who}Link"].split("#")[1] for who in ("host", "guest")}}

    async def enter(self, invite: str, name: str) -> "Person":
        status, ticket = await self.ask("POST", "/api/join", {"invite": invite, "name": name})
        if status != 200:
            raise SystemExit(f"{name} gets no token: {status} {ticket}")
        return await Person(self, ticket).open()

    async def circle(self) -> tuple[dict, "Person", "Person"]:
        """A room with a host and a guest inside."""
        room = await self.room()
        return room, await self.enter(room["host"], "Hana"), await self.enter(room["guest"], "Goro")

    async def change(self, room: dict, question: str) -> tuple[int, dict]:
        return await self.ask("PATCH", f"/api/rooms/{room['id']}", {"settings": {"question": question}})

    async def question(self, room: dict) -> str:
        return (await self.ask("GET", f"/api/rooms/{room['id']}"))[1]["settings"]["question"]

    async def is_ready(self) -> bool:
        return (await self.ask("GET", "/readyz"))[0] == 200

    def processor(self) -> float:
        """Seconds that it has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    async def end(self, how: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(how)
        return await asyncio.to_thread(self.process.wait, PATIENCE)


class Person:
    """One circle socket (RFC 6455 in as many lines as text frames need) that hears everything it is told."""

    def __init__(self, server: Server, ticket: dict) -> None:
        self.server, self.ticket, self.said, self.asked, self.answers, self.inside = server, ticket, [], 0, {}, False

    async def open(self) -> "Person":
        status = await self.knock()
        if status != 101:
            raise SystemExit(f"the circle socket is refused: {status}")
        self.reading = asyncio.create_task(self.read())
        if await self.heard(0, type="state") is None:
            raise SystemExit("nobody says what the circle is")
        self.inside = True
        return self

    async def knock(self) -> int:
        """The status of the answer to a new circle socket."""
        trust = {"ssl": self.server.trust, "server_hostname": "localhost"} if self.server.trust else {}
        self.reader, self.writer = await asyncio.open_connection(
            "127.0.0.1", self.server.port, limit=1 << 20, local_addr=(PEOPLE, 0), **trust)
        path = f"{self.ticket['circle']}?access_token={self.ticket['token']}"
        return int((await knock(self.reader, self.writer, self.server.port, path)).split()[1])

    async def read(self) -> None:
        async for body in texts(self.reader, self.writer):
            said = json.loads(body)
            self.said.append(said)
            if waiting := self.answers.pop(said.get("id"), None):
                waiting.set_result(said)
        self.inside = False

    async def ask(self, **command) -> dict:
        self.asked += 1
        waiting = self.answers[self.asked] = asyncio.get_running_loop().create_future()
        self.writer.write(frame(TEXT, json.dumps({"id": self.asked, **command}).encode()))
        return await asyncio.wait_for(waiting, PATIENCE)

    def ring(self) -> list[str]:
        """Who sits where."""
        seats: list[str] = []
        for said in self.said:
            if "seats" in said:
                seats = list(said["seats"])
            elif said["type"] == "joined":
                seats.insert(said["seat"], said["person"]["participant"])
            elif said["type"] == "left":
                seats.remove(said["participant"])
        return seats

    def texts(self) -> list[str]:
        """What was written since they came in."""
        return [said["text"]["body"] for said in self.said if said["type"] == "text"]

    async def heard(self, since: int, **wanted) -> dict | None:
        """The first message after `since` others that has these fields."""
        def found() -> list:
            return [said for said in self.said[since:] if wanted.items() <= said.items()]

        async def any_found() -> bool:
            return bool(found())

        await until(any_found, PATIENCE / 2)
        return next(iter(found()), None)


async def goes_on(host: Person, guest: Person) -> bool:
    """Texts, hands and seats: what one does, the other sees."""
    heard, told, words = len(host.said), len(guest.said), f"still here {next(numbers)}"
    answers = [await guest.ask(type="write", to="everyone", body=words), await guest.ask(type="raise-hand"),
               await guest.ask(type="lower-hand"), await host.ask(type="order-seats", participants=host.ring()[::-1])]
    seen = [words in host.texts(),
            await host.heard(heard, type="hands"), await guest.heard(told, type="seats")]
    return all(answer["type"] == "ok" for answer in answers) and all(seen) and host.inside and guest.inside
