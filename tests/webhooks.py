#!/usr/bin/env python3
"""Webhooks of a server of its own reach LiveKit's receivers (PyPI livekit-api, npm livekit-server-sdk, unmodified), which
refuse the first ones: every event comes once, in order, and no room waits for it.

Usage: webhooks.py BINARY    with the folder of the acceptance checks, whose clients it uses (ENZA_ACCEPTANCE).
"""
import os
import secrets
import socket
import sys
from pathlib import Path

sys.path.insert(0, os.environ.get("ENZA_ACCEPTANCE") or str(Path(__file__).parents[2] / "shared/acceptance"))
import bootstrap  # noqa: E402  (first: it restarts the script in the cached environment)

bootstrap.ensure(Path(__file__).with_name("room_service.txt"))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


PORT = free_port()
os.environ |= {"LIVEKIT_URL": f"ws://127.0.0.1:{PORT}", "LIVEKIT_API_KEY": "hookkey",
               "LIVEKIT_API_SECRET": secrets.token_hex(24)}
import asyncio  # noqa: E402
import json  # noqa: E402
import subprocess  # noqa: E402
import tempfile  # noqa: E402
import threading  # noqa: E402
import time  # noqa: E402
import urllib.request  # noqa: E402
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer  # noqa: E402

from livekit import api  # noqa: E402
from roomkit import KEY, SECRET, URL, Checks, Client, fresh_room, run, seconds, until  # noqa: E402

checks = Checks()
check = checks.check
believed, refused, kinds, bodies = [], [], set(), []
attempts: dict[str, int] = {}


class Receiver(BaseHTTPRequestHandler):
    """Refuses each event once."""

    judge = api.WebhookReceiver(api.TokenVerifier(KEY, SECRET))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        kinds.add(self.headers["Content-Type"])
        try:
            event = self.judge.receive(body, self.headers["Authorization"])
        except Exception as error:  # noqa: BLE001 - whatever it was, it is counted
            refused.append(repr(error))
            self.answer(401)
            return
        attempts[event.id] = attempts.get(event.id, 0) + 1
        if attempts[event.id] == 1 and event.event in ("room_started", "track_published"):
            self.answer(503)
            return
        bodies.append((body, self.headers["Authorization"]))
        believed.append((event.room.name, event.event, event.participant.identity, event.track.name, event.id))
        self.answer(200)

    def answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def told(room: str) -> list[str]:
    return [" ".join(filter(None, row[1:4])) for row in believed if row[0] == room]


async def main() -> None:
    hooks = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=hooks.serve_forever, daemon=True).start()
    node = subprocess.Popen(["node", str(Path(__file__).parent / "server-sdk/webhook_receiver.mjs")],
                            stdout=subprocess.PIPE, text=True)
    node_port = json.loads(node.stdout.readline())["port"]
    node_told: list[dict] = []
    threading.Thread(target=lambda: [node_told.append(json.loads(line)) for line in node.stdout], daemon=True).start()
    folder = tempfile.TemporaryDirectory()
    urls = [f"http://127.0.0.1:{hooks.server_port}/hooks?from=enza", f"http://127.0.0.1:{node_port}/",
            f"http://127.0.0.1:{free_port()}/nobody-listens"]
    environment = {**os.environ, "ENZA_WEBHOOKS": ",".join(urls)}
    command = [sys.argv[1], "serve", "--port", str(PORT), "--bind", "127.0.0.1", "--data", f"{folder.name}/data",
               "--api-key", KEY, "--api-secret", SECRET]
    server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        await meet(server, node_told)
    finally:
        server.kill()
        node.kill()
        hooks.shutdown()
        folder.cleanup()


async def meet(server: subprocess.Popen, node_told: list[dict]) -> None:
    def answers() -> bool:
        try:
            return urllib.request.urlopen(URL.replace("ws", "http", 1), timeout=1).status == 200
        except OSError:
            return False

    check("the server starts", await until(answers, 20) is not None)
    room = fresh_room("hooks")
    ann, ben = Client("ann", room), Client("ben", room)
    began = time.monotonic()
    await ann.join()
    await ben.join()
    check("a receiver that refuses delays nobody", time.monotonic() - began < 5, seconds(time.monotonic() - began))
    await ann.publish_tone(440, "tone")
    await until(lambda: "track_published ann tone" in told(room), 10)
    await ann.unpublish("tone")
    await until(lambda: "track_unpublished ann tone" in told(room), 10)
    await ann.leave()
    await until(lambda: "participant_left ann" in told(room), 10)
    async with api.LiveKitAPI(URL.replace("ws", "http", 1), KEY, SECRET) as lk:
        await lk.room.delete_room(api.DeleteRoomRequest(room=room))
    expected = ["room_started", "participant_joined ann", "participant_joined ben", "track_published ann tone",
                "track_unpublished ann tone", "participant_left ann", "participant_left ben", "room_finished"]
    all_came = await until(lambda: "room_finished" in told(room), 15)
    check("PyPI livekit-api believes every event, in order", told(room) == expected, ", ".join(told(room)))
    check("it came again after a refusal, and once", all_came is not None and len({row[4] for row in believed}) == len(believed)
          and sorted(set(attempts.values())) == [1, 2], str(sorted(attempts.values())))
    check("the type is LiveKit's", kinds == {"application/webhook+json"}, str(kinds))
    await until(lambda: any(row.get("event") == "room_finished" for row in node_told), 15)
    seen = [" ".join(filter(None, (row.get("event"), row.get("participant"), row.get("track")))) for row in node_told
            if row.get("room") == room]
    check("npm livekit-server-sdk believes the same", seen == expected, ", ".join(seen or map(str, node_told)))
    check("the same event has the same id at both", [row["id"] for row in node_told if row.get("room") == room]
          == [row[4] for row in believed if row[0] == room])
    body, authorization = bodies[-1]
    for name, forged in (("another body", body.replace("room_finished", "room_started")), ("an empty body", "{}")):
        try:
            Receiver.judge.receive(forged, authorization)
            check(f"{name} is not believed", False)
        except Exception:  # noqa: BLE001
            check(f"{name} is not believed", True)
    check("nothing else was refused", not refused, "; ".join(refused[:3]))
    second = fresh_room("last")
    cora = Client("cora", second)
    await cora.join()
    await until(lambda: "participant_joined cora" in told(second), 10)
    began = time.monotonic()
    server.terminate()
    server.wait(10)
    check("a stop is in time though one receiver is away", time.monotonic() - began < 5, seconds(time.monotonic() - began))
    check("and the last events still went out", told(second)[-1:] == ["room_finished"], ", ".join(told(second)))
    await cora.leave()


if __name__ == "__main__":
    run(main(), checks, 110)
