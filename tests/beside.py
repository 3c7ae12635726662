"""Who is there while strangers do what they do: a server with a certificate, somebody who asks it again and again, and a call.

The call is `enza load`: people who publish and receive real packet shapes and measure what arrives at them. It knows no TLS, so
its signalling comes through a small forwarder here; its packets go to the media port by themselves.
"""
import asyncio
import json
import os
import re
import resource
import signal
import socket
import ssl
import statistics
import subprocess
import threading
import time
from contextlib import contextmanager
from pathlib import Path

from certificates import check, free_port, trusting, until

HERE = "127.0.0.1"
KEY, SECRET = "flood", os.urandom(24).hex()
PEOPLE, FRAMES = 4, 25  # in the call, and what each camera gives in a second
CALL_MAX = 300  # seconds; it is ended when everything was tried


class Server:
    def __init__(self, binary: str, folder: Path, pair: tuple[Path, Path], files: int | None = None) -> None:
        self.port, self.log, self.trust = free_port(), folder / f"log-{files}", trusting(pair[0])
        self.data = folder / f"data-{files}"

        def limited() -> None:
            if files:
                resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                [binary, "serve", "--port", str(self.port), "--data", self.data, "--cert", pair[0], "--key", pair[1],
                 "--api-key", KEY, "--api-secret", SECRET],
                stdout=subprocess.DEVNULL, stderr=out, env={**os.environ, "LANG": "C", "RUST_LOG": "info"}, preexec_fn=limited)
        if until(lambda: self.ask() < 5) is None:
            raise SystemExit(f"the server does not start:\n{self.log.read_text()}")

    def connect(self, source: str = HERE, protocol: str | None = None) -> ssl.SSLSocket:
        tcp = socket.create_connection((HERE, self.port), timeout=10, source_address=(source, 0))
        trust = self.trust
        if protocol:
            trust = ssl.create_default_context()
            trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
            trust.set_alpn_protocols([protocol])
        return trust.wrap_socket(tcp, server_hostname="localhost")

    def ask(self) -> float:
        """Seconds for one request on a connection of its own."""
        began = time.monotonic()
        with self.connect() as tls:
            tls.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            answer = tls.recv(1000)
        if not answer.startswith(b"HTTP/1.1 200"):
            raise OSError(f"an answer like {answer[:40]!r}")
        return time.monotonic() - began

    def memory(self) -> int:
        """In KiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0])

    def files(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(10)


class Somebody(threading.Thread):
    """An honest client that asks again and again."""

    def __init__(self, server: Server) -> None:
        super().__init__(daemon=True)
        self.server, self.delays, self.failures, self.over = server, [], [], threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.1):
            try:
                self.delays.append(self.server.ask())
            except OSError as error:
                self.failures.append(str(error))

    def report(self, during: str) -> None:
        self.over.set()
        self.join(15)
        delays = sorted(self.delays) or [99.0]
        check(f"{during}: somebody else is answered",
              len(self.delays) >= 5 and not self.failures and delays[len(delays) // 2] < 1,
              f"{len(self.delays)} times, median {delays[len(delays) // 2] * 1000:.0f} ms, "
              f"longest {delays[-1] * 1000:.0f} ms {self.failures[:1] or ''}")


class Forwarder(threading.Thread):
    """Plain connections from here, carried on to the server behind TLS."""

    def __init__(self, server: Server) -> None:
        super().__init__(daemon=True)
        self.server, self.port, self.opened, self.fragments = server, free_port(), 0, set()
        self.start()

    def run(self) -> None:
        asyncio.run(self.serve())

    async def serve(self) -> None:
        listener = await asyncio.start_server(self.carry, HERE, self.port)
        await listener.serve_forever()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection(HERE, self.server.port, ssl=self.server.trust, server_hostname="localhost")
        self.opened += 1
        await asyncio.gather(self.pump(reader, there[1]), self.pump(there[0], writer, watched=True))

    async def pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, watched: bool = False) -> None:
        try:
            while data := await reader.read(1 << 16):
                if watched:
                    self.fragments.update(found.decode() for found in re.findall(rb"a=ice-ufrag:([\w+/]+)", data))
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        writer.close()


class Call:
    """Some people with sound and picture, who measure second by second."""

    def __init__(self, binary: str, server: Server) -> None:
        self.server, self.phases = server, []
        self.forwarder = Forwarder(server)
        time.sleep(0.3)
        self.process = subprocess.Popen(
            [binary, "load", "--url", f"http://{HERE}:{self.forwarder.port}", "--api-key", KEY, "--api-secret", SECRET,
             "--participants", str(PEOPLE), "--fps", str(FRAMES), "--duration", f"{CALL_MAX}s", "--slice", "1s", "--json"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if until(lambda: self.forwarder.opened >= PEOPLE) is None:
            raise SystemExit("nobody calls")
        # Everybody hears everybody, and the first second is counted.
        time.sleep(5)

    def fragments(self) -> list[str]:
        """The server's names for its ends of the call (RFC 8445 section 5.3), which a stranger on the way of the signalling knows."""
        return sorted(self.forwarder.fragments)

    @contextmanager
    def during(self, what: str):
        began = time.time()
        try:
            yield
        finally:
            self.phases.append((what, began, time.time()))

    def quiet(self, what: str, seconds: float) -> None:
        with self.during(what):
            time.sleep(seconds)

    def report(self) -> None:
        """Ends it; prints how it was in each phase."""
        self.process.send_signal(signal.SIGINT)
        told, trouble = self.process.communicate(timeout=30)
        if self.process.returncode:
            check("the call goes on to its end", False, trouble.strip()[-300:])
            return
        found = json.loads(told)
        people, packets, odd = found["participants"], found["packets"], found["irregular"]
        check("nobody in the call was dropped, and everybody heard everybody",
              people["failed"] == 0 and people["tracks_heard"] == people["tracks_expected"] == 2 * PEOPLE * (PEOPLE - 1),
              f"{people['started'] - people['failed']} people, {people['failures'] or ''}")
        check("nothing strange reached them", odd["corrupt"] == odd["leaked"] == odd["unauthentic"] == 0)
        dark, last = [], None
        for what, began, ended in self.phases:
            parts = [part for part in found["slices"] if part["expected"]
                     and found["load"]["begun_unix_s"] + part["from_s"] + 1 > began
                     and found["load"]["begun_unix_s"] + part["from_s"] < ended][:-1 if what == self.phases[-1][0] else None]
            if not parts:
                dark.append(f"{what} was not seen")
                continue
            expected, received = (sum(part[name] for part in parts) for name in ("expected", "received"))
            frames = sum(part["frames"] for part in parts) / len(parts) / (PEOPLE * (PEOPLE - 1))
            delays = [part["delay"] for part in parts if part["delay"]]
            lost = 100 * max(0, expected - received) / expected
            last = lost
            if not all(part["received"] for part in parts):
                dark.append(f"{what}: a second without a packet")
            print(f"call  {what + ':':<50} {frames:4.1f} frames/s, {received / len(parts):4.0f} packets/s, lost {lost:.2f} %, "
                  f"delay p50 {statistics.median(one['p50_us'] for one in delays or [{'p50_us': 0}]) / 1000:.2f} ms, "
                  f"p99 {max((one['p99_us'] for one in delays), default=0) / 1000:.1f} ms", flush=True)
        check("in no second was the call silent", not dark, dark or f"{len(found['slices'])} s, lost {packets['loss_percent']:.3f} % in all")
        check("and afterwards it is as before", last is not None and last < 1, f"lost {last or 0:.2f} %")
