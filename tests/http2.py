"""What strangers can do with HTTP/2 (RFC 9113): frame by frame, as no honest client would. Each kind is bounded in count and time;
where it ends is what server/LIMITS.md says.
"""
import contextlib
import select
import ssl
import struct
import time

from beside import Call, Server
from certificates import check

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 2, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS, ACK = 1, 4, 1
ENHANCE_YOUR_CALM, REFUSED_STREAM, PROTOCOL_ERROR = 11, 7, 1
HEADER_TABLE_SIZE, INITIAL_WINDOW_SIZE = 1, 4


def frame(kind: int, flags: int, stream: int, body: bytes = b"") -> bytes:
    return len(body).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + body


def literal(name: bytes, value: bytes, kept: bool = False) -> bytes:
    """A header field (RFC 7541 section 6.2), without Huffman; kept: in the table of the connection."""
    def text(what: bytes) -> bytes:
        if len(what) < 127:
            return bytes([len(what)]) + what
        rest, more = len(what) - 127, bytearray([127])
        while rest >= 128:
            more.append(rest % 128 | 128)
            rest //= 128
        return bytes([*more, rest]) + what
    return (b"\x40" if kept else b"\x00") + text(name) + text(value)


def request(method: bytes = b"GET", path: bytes = b"/") -> bytes:
    return literal(b":method", method) + b"\x87" + literal(b":path", path) + literal(b":authority", b"localhost")


class Connection:
    """One that sends what it likes and looks at what comes back."""

    def __init__(self, server: Server, *settings: tuple[int, int], source: str = "127.5.0.1") -> None:
        self.tls = server.connect(source, "h2")
        if self.tls.selected_alpn_protocol() != "h2":
            raise OSError("no HTTP/2")
        self.left, self.frames, self.closed = b"", [], None
        body = b"".join(struct.pack("!HI", *setting) for setting in settings)
        self.send(PREFACE + frame(SETTINGS, 0, 0, body))
        self.tls.setblocking(False)

    def send(self, data: bytes, patience: float = 5) -> bool:
        """Whether all of it was taken, reading meanwhile."""
        until, at = time.monotonic() + patience, 0
        while at < len(data) and self.closed is None and time.monotonic() < until:
            try:
                at += self.tls.send(data[at:at + (1 << 14)])
            except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
                self.read(0.05)
            except OSError as error:
                self.closed = type(error).__name__
        return at == len(data) and self.closed is None

    def read(self, patience: float = 0.0) -> None:
        """Takes what came, waiting for it so long."""
        if self.closed is not None:
            return
        if not self.tls.pending():
            select.select([self.tls], [], [], patience)
        with contextlib.suppress(ssl.SSLWantReadError):
            try:
                while data := self.tls.recv(1 << 16):
                    self.left += data
                    self.cut()
                self.closed = "ended"
            except ssl.SSLWantReadError:
                raise
            except OSError as error:
                self.closed = type(error).__name__

    def cut(self) -> None:
        at = 0
        while len(self.left) >= at + 9:
            kind, flags = self.left[at + 3], self.left[at + 4]
            length, stream = int.from_bytes(self.left[at:at + 3]), int.from_bytes(self.left[at + 5:at + 9])
            if len(self.left) < at + 9 + length:
                break
            self.frames.append((kind, flags, stream, self.left[at + 9:at + 9 + length]))
            at += 9 + length
        self.left = self.left[at:]

    def wait(self, condition, patience: float) -> bool:
        until = time.monotonic() + patience
        while not condition() and self.closed is None and time.monotonic() < until:
            self.read(0.1)
        return bool(condition())

    def goaway(self) -> int | None:
        """The reason that the server gave."""
        return next((int.from_bytes(body[4:8]) for kind, _, _, body in self.frames if kind == GOAWAY), None)

    def of(self, wanted: int) -> list[tuple]:
        return [one for one in self.frames if one[0] == wanted]

    def answers(self) -> list[bytes]:
        """The first byte of each answer's headers: 0x88 is 200."""
        return [body[:1] for kind, _, _, body in self.frames if kind == HEADERS]

    def close(self) -> None:
        self.tls.close()


def rapid_reset(server: Server) -> tuple[bool, str]:
    """Requests that are taken back at once (CVE-2023-44487)."""
    one, sent = Connection(server), 0
    for at in range(2000):
        stream = 2 * at + 1
        sent += one.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, request())
                         + frame(RST_STREAM, 0, stream, struct.pack("!I", 8)))
        if one.closed:
            break
    one.wait(lambda: one.goaway() is not None, 3)
    reason, answered = one.goaway(), len(one.answers())
    one.close()
    return reason == ENHANCE_YOUR_CALM or one.closed is not None, f"closed after {sent} requests, {answered} answered, reason {reason}"


def endless_headers(server: Server) -> tuple[bool, str]:
    """CONTINUATION without end (CVE-2024-27316)."""
    one, sent = Connection(server), 0
    one.send(frame(HEADERS, END_STREAM, 1, request()))
    piece = frame(CONTINUATION, 0, 1, literal(b"x-more", b"y" * 100) * 140)
    for _ in range(1000):
        sent += one.send(piece)
        one.read(0.002)
        if one.closed or one.goaway() is not None:
            break
    one.wait(lambda: one.closed, 3)
    one.close()
    return one.closed is not None and sent < 600, f"closed after {sent * len(piece) // 1024} KiB, reason {one.goaway()}"


def settings_flood(server: Server) -> tuple[bool, str]:
    """SETTINGS and PING, each of which wants an answer that is not taken, then taken."""
    one = Connection(server)
    ping, wish = frame(PING, 0, 0, bytes(8)), frame(SETTINGS, 0, 0, struct.pack("!HI", HEADER_TABLE_SIZE, 4096))
    began = time.monotonic()
    taken = one.send((ping + wish) * 20_000, 15)
    one.wait(lambda: len(one.of(PING)) >= 20_000, 10)
    one.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, request()))
    still = one.wait(lambda: b"\x88" in one.answers(), 5)
    one.close()
    pongs = len(one.of(PING))
    return (still and taken) or one.closed is not None, f"{pongs} answered in {time.monotonic() - began:.1f} s, {one.closed or 'goes on'}"


def header_bomb(server: Server) -> tuple[bool, str]:
    """One field of 4 kB that is named by one byte sixteen thousand times (CVE-2016-6581): 64 MB if it were believed."""
    one = Connection(server)
    one.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, request() + literal(b"x-bomb", b"y" * 3900, kept=True)))
    one.send(frame(HEADERS, END_HEADERS | END_STREAM, 3, request() + b"\xbe" * 16_000))
    refused = one.wait(lambda: one.closed or any(stream == 3 for _, _, stream, _ in one.frames) or one.goaway() is not None, 5)
    answer = next((body[:8] for kind, _, stream, body in one.frames if kind == HEADERS and stream == 3), b"")
    one.close()
    return refused and not answer.startswith(b"\x88"), f"answer {answer.hex() or one.goaway()}"


def many_fields(server: Server) -> tuple[bool, str]:
    """Thousands of small fields."""
    one = Connection(server)
    one.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, request() + literal(b"x", b"y") * 3000))
    refused = one.wait(lambda: one.closed or any(stream == 1 for _, _, stream, _ in one.frames) or one.goaway() is not None, 5)
    answer = next((body[:8] for kind, _, stream, body in one.frames if kind == HEADERS), b"")
    one.close()
    return refused and not answer.startswith(b"\x88"), f"answer {answer.hex() or one.goaway()}"


def no_window(server: Server) -> tuple[bool, str]:
    """Answers are asked for and no byte of them may come; then a byte at a time."""
    held = [Connection(server, (INITIAL_WINDOW_SIZE, 0), source=f"127.5.1.{at + 1}") for at in range(10)]
    for one in held:
        for at in range(100):
            one.send(frame(HEADERS, END_HEADERS | END_STREAM, 2 * at + 1, request()))
    asked = all(one.wait(lambda one=one: len(one.answers()) >= 100, 10) for one in held)
    silent = not any(one.of(DATA) and any(body for *_, body in one.of(DATA)) for one in held)
    first = held[0]
    for _ in range(200):
        first.send(frame(WINDOW_UPDATE, 0, 1, struct.pack("!I", 1)))
    trickled = first.wait(lambda: len(first.of(DATA)) >= 2, 5) and all(len(body) <= 1 for *_, body in first.of(DATA))
    largest = server.memory()
    for one in held:
        one.close()
    return asked and silent and trickled, f"1000 answers wait, {largest // 1024} MiB meanwhile"


def many_streams(server: Server) -> tuple[bool, str]:
    """A thousand requests with bodies that do not come."""
    one = Connection(server)
    for at in range(1000):
        if not one.send(frame(HEADERS, END_HEADERS, 2 * at + 1, request(b"POST", b"/api/join"))):
            break
    one.wait(lambda: len(one.of(RST_STREAM)) >= 900 or one.goaway() is not None, 5)
    refused = sum(int.from_bytes(body) == REFUSED_STREAM for *_, body in one.of(RST_STREAM))
    ended = one.closed is not None or one.goaway() is not None
    one.close()
    return ended or refused >= 900, f"{refused} refused, {'closed' if ended else 'goes on'}, reason {one.goaway()}"


def priorities(server: Server) -> tuple[bool, str]:
    """Streams that hang on each other and on themselves (CVE-2019-9513)."""
    one = Connection(server)
    loops = b"".join(frame(PRIORITY, 0, 2 * (at % 50) + 1, struct.pack("!IB", 2 * ((at + 1) % 50) + 1, 255)) for at in range(20_000))
    taken = one.send(loops, 10)
    one.send(frame(HEADERS, END_HEADERS | END_STREAM, 101, request()))
    still = one.wait(lambda: b"\x88" in one.answers(), 5)
    itself = Connection(server)
    itself.send(frame(PRIORITY, 0, 1, struct.pack("!IB", 1, 255)))
    refused = itself.wait(lambda: itself.closed or itself.goaway() is not None or itself.of(RST_STREAM), 5)
    one.close()
    itself.close()
    return bool(((taken and still) or one.closed is not None) and refused), f"20000 read, on itself: reason {itself.goaway()}"


def empty_data(server: Server) -> tuple[bool, str]:
    """DATA frames without a byte, which no window holds back (CVE-2019-9518)."""
    one, before = Connection(server), server.memory()
    one.send(frame(HEADERS, END_HEADERS, 1, request(b"POST", b"/api/join") + literal(b"content-type", b"application/json")))
    empty = frame(DATA, 0, 1) * 1000
    sent = 0
    for _ in range(200):
        sent += 1000 * one.send(empty)
        if one.closed or one.goaway() is not None:
            break
    grown = server.memory() - before
    one.close()
    return grown < 20_000, f"{sent} read, {grown // 1024} MiB more, {one.closed or 'goes on'}"


KINDS = {"rapid reset": rapid_reset, "endless headers": endless_headers, "SETTINGS and PING": settings_flood,
         "a header bomb": header_bomb, "many fields": many_fields, "no window": no_window, "many streams": many_streams,
         "priorities": priorities, "empty DATA": empty_data}


def over_http2(server: Server, call: Call) -> None:
    before = server.memory()
    for name, kind in KINDS.items():
        with call.during(f"HTTP/2, {name}"):
            try:
                held, how = kind(server)
            except OSError as error:
                held, how = False, f"{type(error).__name__}: {error}"
        check(f"HTTP/2, {name}: held at its bound", held and server.ask() < 5, how)
    time.sleep(0.5)
    after = server.memory()
    check("HTTP/2 leaves nothing behind", after < before + 20_000, f"{before // 1024} MiB before, {after // 1024} MiB after")
