"""WebSocket (RFC 6455) in as many lines as short text frames need."""
import asyncio
import base64
import os

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


async def knock(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int, path: str) -> bytes:
    """The status line of the answer to a wish for a socket."""
    key = base64.b64encode(os.urandom(16)).decode()
    writer.write((f"GET {path} HTTP/1.1\r\nhost: localhost:{port}\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
                  f"sec-websocket-version: 13\r\nsec-websocket-key: {key}\r\n\r\n").encode())
    return (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[0]


def frame(kind: int, body: bytes) -> bytes:
    size = len(body)
    length = bytes([128 | size]) if size < 126 else bytes([254]) + size.to_bytes(2)
    return bytes([128 | kind]) + length + bytes(4) + body  # the mask is zero


async def texts(reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
    """What is said, until the socket closes. Whoever asks whether somebody is still there is answered."""
    try:
        while True:
            kind, length = await reader.readexactly(2)
            if length == 126:
                length = int.from_bytes(await reader.readexactly(2))
            elif length == 127:
                length = int.from_bytes(await reader.readexactly(8))
            body = await reader.readexactly(length)
            if kind & 15 == PING:
                writer.write(frame(PONG, body))
            elif kind & 15 == CLOSE:
                return
            elif kind & 15 == TEXT:
                yield body
    except (asyncio.IncompleteReadError, OSError):
        return
