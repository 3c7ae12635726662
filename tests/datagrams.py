"""What strangers send to the media port: over UDP from many addresses, and over TCP with lengths that lie. Each kind is bounded in
count and pace; the figures of the call beside are printed."""
import hashlib
import hmac
import os
import random
import socket
import struct
import time
import zlib

from beside import HERE, Call, Server
from certificates import check, until

DATAGRAMS = 12_000  # of each kind
PER_SECOND = 8_000
SOURCES = 60  # addresses that they come from
HALF_OPEN, HOUSEHOLDS = 200, 20  # connections with a frame that never ends, and where they come from

COOKIE = 0x2112A442


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("!HH", kind, len(value)) + value + bytes(-len(value) % 4)


def stun(kind: int, *attributes: bytes, key: bytes | None = None) -> bytes:
    """A message (RFC 8489 section 5), signed and with its fingerprint if there is a key."""
    body, name = b"".join(attributes), os.urandom(12)

    def head(length: int) -> bytes:
        return struct.pack("!HHI", kind, length, COOKIE) + name

    if key is not None:
        body += attribute(8, hmac.new(key, head(len(body) + 24) + body, hashlib.sha1).digest())
        body += attribute(0x8028, struct.pack("!I", zlib.crc32(head(len(body) + 8) + body) ^ 0x5354554E))
    return head(len(body)) + body


def check_for(fragment: str) -> bytes:
    """A connectivity check as a browser sends it, by somebody who does not know the password."""
    name = f"{fragment}:abcd".encode()
    return stun(1, attribute(6, name), attribute(0x24, struct.pack("!I", 1)), attribute(0x802A, bytes(8)), attribute(0x25, b""),
                key=os.urandom(24))


def client_hello() -> bytes:
    """DTLS 1.2 (RFC 6347 section 4.2.2), as it comes before there is a cookie."""
    hello = b"\xfe\xfd" + os.urandom(32) + b"\x00\x00" + b"\x00\x02\xc0\x2b" + b"\x01\x00" + b"\x00\x00"
    length = len(hello).to_bytes(3)
    handshake = b"\x01" + length + b"\x00\x00" + b"\x00\x00\x00" + length + hello
    return b"\x16\xfe\xfd" + bytes(8) + len(handshake).to_bytes(2) + handshake


def rtp() -> bytes:
    return b"\x80" + bytes([random.choice((96, 111))]) + os.urandom(10) + os.urandom(random.randrange(60, 1100))


def rtcp() -> bytes:
    return b"\x81" + bytes([random.randrange(200, 207)]) + b"\x00\x07" + os.urandom(28 + 14)


def allocate() -> bytes:
    return stun(3, attribute(0x19, b"\x11\x00\x00\x00"))


def kinds(call: Call) -> list[tuple[str, list[bytes], bool]]:
    """Name, samples, and whether they come from the address that the people in the call have."""
    known = call.fragments() or ["AAAAAAAA"]
    return [
        ("STUN for somebody in the call, wrongly signed", [check_for(random.choice(known)) for _ in range(500)], False),
        ("STUN for nobody", [check_for(os.urandom(6).hex()[:8]) for _ in range(500)], False),
        ("DTLS ClientHellos", [client_hello() for _ in range(500)], False),
        ("media from elsewhere", [rtp() for _ in range(400)] + [rtcp() for _ in range(100)], False),
        ("media from the call's own address", [rtp() for _ in range(400)] + [rtcp() for _ in range(100)], True),
        ("TURN without credentials", [allocate() for _ in range(500)], False),
        ("garbage of all sizes", [os.urandom(random.randrange(0, 3000)) for _ in range(500)], False),
    ]


def drops(port: int) -> int:
    """Datagrams that the kernel dropped at this port."""
    total = 0
    for table in ("/proc/net/udp", "/proc/net/udp6"):
        with open(table) as lines:
            total += sum(int(line.split()[-1]) for line in list(lines)[1:] if line.split()[1].endswith(f":{port:04X}"))
    return total


def pour(port: int, samples: list[bytes], same_address: bool) -> tuple[int, float]:
    """How many went out, in how many seconds."""
    sockets = []
    for at in range(SOURCES):
        one = socket.socket(type=socket.SOCK_DGRAM)
        one.bind((HERE if same_address else f"127.3.{at // 200}.{at % 200 + 1}", 0))
        one.setblocking(False)
        sockets.append(one)
    began, sent = time.monotonic(), 0
    for at in range(DATAGRAMS):
        try:
            sockets[at % SOURCES].sendto(samples[at % len(samples)], (HERE, port))
            sent += 1
        except OSError:
            pass
        if at % 80 == 0 and (ahead := began + at / PER_SECOND - time.monotonic()) > 0:
            time.sleep(ahead)
    took = time.monotonic() - began
    for one in sockets:
        one.close()
    return sent, took


def over_udp(server: Server, call: Call) -> None:
    before, largest = server.memory(), 0
    for what, samples, same_address in kinds(call):
        dropped = drops(server.port)
        with call.during(what):
            sent, took = pour(server.port, samples, same_address)
        largest = max(largest, server.memory())
        check(f"{what}: the server stands", server.process.poll() is None and server.ask() < 5,
              f"{sent} datagrams in {took:.1f} s, {drops(server.port) - dropped} dropped by the kernel")
    check("strangers' datagrams leave nothing behind", largest < before + 10_000, f"{before // 1024} MiB before, {largest // 1024} at most")


def over_tcp(server: Server, call: Call) -> None:
    """Frames (RFC 4571) that say they are longer than what comes, and lengths that nobody takes."""
    opened, refused = [], 0
    files = server.files()
    with call.during("half-open ICE-TCP"):
        for at in range(HALF_OPEN):
            source = f"127.4.0.{at % HOUSEHOLDS + 1}"
            one = socket.create_connection((HERE, server.port), timeout=10, source_address=(source, 0))
            # A length of 1280, and the beginning of a check.
            one.sendall(b"\x05\x00" + check_for("AAAAAAAA")[:20])
            opened.append(one)
        for _ in range(20):
            one = socket.create_connection((HERE, server.port), timeout=10, source_address=("127.4.1.1", 0))
            one.sendall(b"\x00\x10" + os.urandom(16) + b"\xff\xff" + bytes(100))
            one.settimeout(5)
            try:
                refused += one.recv(1) == b""
            except ConnectionResetError:
                refused += 1
            except OSError:
                pass
            one.close()
    check("a frame of 64 KiB, or one that is no check, ends the connection", refused == 20, f"{refused} of 20")
    gone = until(lambda: server.files() <= files + 5, 20)
    check("frames that never end are given up after ten seconds", gone is not None, f"{gone or 0:.1f} s later")
    for one in opened:
        one.close()
