#!/usr/bin/env python3
"""A host on the circle socket, two people with the Python SDK: what the host does is what the others hear and see.

Usage: circle.py    with the variables and the folder of the acceptance checks, whose clients it uses (ENZA_ACCEPTANCE).
"""
import os
import sys
from pathlib import Path

sys.path.insert(0, os.environ.get("ENZA_ACCEPTANCE") or str(Path(__file__).parents[2] / "shared/acceptance"))
import bootstrap  # noqa: E402, F401  (first: it restarts the script in the cached environment)
import asyncio  # noqa: E402
import base64  # noqa: E402
import json  # noqa: E402
import secrets  # noqa: E402
import time  # noqa: E402
from urllib.parse import urlsplit  # noqa: E402

from roomkit import Checks, Client, URL, fresh_room, run, seconds, token, until  # noqa: E402

HERTZ = 440
checks = Checks()
check = checks.check


class Circle:
    """A circle socket: RFC 6455 in as many lines as text frames need."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer, self.said, self.asked = reader, writer, [], 0
        self.listening = asyncio.create_task(self._listen())

    @classmethod
    async def open(cls, room: str, identity: str, **grants) -> "Circle":
        place = urlsplit(URL)
        reader, writer = await asyncio.open_connection(place.hostname, place.port)
        key = base64.b64encode(secrets.token_bytes(16)).decode()
        writer.write((f"GET /api/rooms/{room}/circle HTTP/1.1\r\nHost: {place.netloc}\r\nConnection: Upgrade\r\n"
                      f"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
                      f"Authorization: Bearer {token(identity, room, **grants)}\r\n\r\n").encode())
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 101 " not in head.split(b"\r\n")[0]:
            raise RuntimeError(head.decode(errors="replace"))
        return cls(reader, writer)

    async def _listen(self) -> None:
        while True:
            first, length = await self.reader.readexactly(2)
            if length == 126:
                length = int.from_bytes(await self.reader.readexactly(2))
            elif length == 127:
                length = int.from_bytes(await self.reader.readexactly(8))
            payload = await self.reader.readexactly(length)
            if first & 15 == 1:
                self.said.append(json.loads(payload))
            elif first & 15 == 9:
                self._send(10, payload)
            elif first & 15 == 8:
                return

    def _send(self, kind: int, payload: bytes) -> None:
        mask = secrets.token_bytes(4)
        size = bytes([128 | len(payload)]) if len(payload) < 126 else bytes([254]) + len(payload).to_bytes(2)
        self.writer.write(bytes([128 | kind]) + size + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload)))

    async def ask(self, kind: str, **fields) -> dict:
        self.asked += 1
        self._send(1, json.dumps({"id": self.asked, "type": kind, **fields}).encode())
        mine = lambda: [said for said in self.said if said.get("id") == self.asked]  # noqa: E731
        await until(mine, 5)
        return (mine() or [{"type": "silence"}])[0]

    async def heard(self, **wanted) -> float | None:
        return await until(lambda: any(wanted.items() <= said.items() for said in self.said), 5)

    async def close(self) -> None:
        self.listening.cancel()
        self.writer.close()


async def packets(client: Client, kind: str, speaker: str) -> int:
    """Packets that `client` has received on its track of that kind from `speaker`."""
    publications = client.room.remote_participants[speaker].track_publications.values()
    track = next(pub.track for pub in publications if pub.track and (kind in pub.name))
    stats = await track.get_stats()
    inbound = [entry.inbound_rtp for entry in stats if entry.WhichOneof("stats") == "inbound_rtp"]
    return sum(entry.received.packets_received for entry in inbound)


async def arrives(client: Client, kind: str, speaker: str, over: float = 1.5) -> int:
    before = await packets(client, kind, speaker)
    await asyncio.sleep(over)
    return await packets(client, kind, speaker) - before


def attribute(client: Client, who: str, key: str) -> str | None:
    return client.room.remote_participants[who].attributes.get(key)


async def main() -> None:
    room = fresh_room("circle")
    host = await Circle.open(room, "chie", roomAdmin=True)
    check("the host's circle opens with the whole state", await host.heard(type="state", you="chie") is not None)
    ann, ben = Client("ann", room), Client("ben", room)
    for client in (ann, ben):
        await client.join()
    joined = await until(lambda: {"ann", "ben"} <= {said["person"]["participant"] for said in host.said
                                                    if said["type"] == "joined"}, 5)
    check("people with LiveKit clients sit in the circle", joined is not None, seconds(joined))
    await ann.publish_tone(HERTZ, "tone")
    await ann.publish_video(320, 180, 15, "picture")
    heard = await until(lambda: "ann" in ben.audio and ben.audio["ann"].share(HERTZ) > 0.8, 8)
    check("one hears the other", heard is not None, seconds(heard))

    start = time.monotonic()
    answer = await host.ask("mute", source="microphone", participants=["ann"])
    check("the host mutes one", answer["type"] == "ok", f"{(time.monotonic() - start) * 1000:.0f} ms")
    await asyncio.sleep(0.5)  # what was on its way arrives
    count = await arrives(ben, "tone", "ann")
    check("muted: zero packets arrive", count == 0, f"{count} packets in 1.5 s")
    picture = await arrives(ben, "picture", "ann")
    check("the picture goes on", picture > 0, f"{picture} packets")
    check("everybody's client shows the mute", ben.saw("track_muted:tone", "ann"))
    check("the muted person's own client knows", ann.published["tone"][1].muted)

    ann.published["tone"][0].unmute()
    count = await arrives(ben, "tone", "ann")
    check("they open their own microphone again", count > 0, f"{count} packets")
    await host.ask("change-room", set={"microphones": "held"})
    await asyncio.sleep(0.5)
    ann.published["tone"][0].unmute()
    await asyncio.sleep(0.5)
    count = await arrives(ben, "tone", "ann")
    check("held: zero packets arrive although they try", count == 0, f"{count} packets in 1.5 s")
    await host.ask("ask-to-unmute", source="microphone", participants=["ann"])
    count = await arrives(ben, "tone", "ann", 1.0)
    check("asked to open it: nothing opens by itself", count == 0, f"{count} packets in 1 s")
    ann.published["tone"][0].mute()
    ann.published["tone"][0].unmute()
    await asyncio.sleep(0.3)
    count = await arrives(ben, "tone", "ann")
    check("and their own press opens it", count > 0, f"{count} packets")
    await host.ask("change-room", set={"microphones": "free"})

    await host.ask("mute-all", source="camera", **{"except": ["ben"]})
    await asyncio.sleep(0.5)
    count = await arrives(ben, "picture", "ann")
    check("cameras of all but one stop: zero packets", count == 0, f"{count} packets in 1.5 s")

    await host.ask("spotlight", participants=["ben", "ann"])
    shown = await until(lambda: '"spotlight":["ben","ann"]' in (ann.room.metadata or ""), 5)
    check("LiveKit clients read the spotlight, in order", shown is not None, seconds(shown))
    check("and the roles", attribute(ben, "ann", "enza.role") == "speaker", str(attribute(ben, "ann", "enza.role")))
    await host.ask("set-role", participant="ann", role="listener")
    gone = await until(lambda: not ben.room.remote_participants["ann"].track_publications, 5)
    check("a listener's tracks are gone", gone is not None, seconds(gone))
    check("and the listener's role is shown", attribute(ben, "ann", "enza.role") == "listener")

    answer = await host.ask("remove", participant="ann")
    left = await until(lambda: "ann" not in ben.room.remote_participants, 5)
    check("who is removed is out", answer["type"] == "ok" and left is not None, seconds(left))
    told = await until(lambda: any(event.startswith("disconnected") for _, event, _ in ann.events), 5)
    check("and their client was told", told is not None, seconds(told))
    answer = await host.ask("end")
    over = await until(lambda: any(event.startswith("disconnected") for _, event, _ in ben.events), 5)
    check("the end ends it for everybody", answer["type"] == "ok" and over is not None, seconds(over))
    for client in (ann, ben):
        await client.leave()
    await host.close()


if __name__ == "__main__":
    run(main(), checks, 90)
