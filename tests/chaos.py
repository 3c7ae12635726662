#!/usr/bin/env python3
"""What breaks around the server while a circle goes on, and the outcome that server/LIMITS.md promises for each: a full
disk, a disk that turns read-only, a database that another program holds, no descriptors left, a certificate that ends, a
clock that jumps, a media thread that fails. And afterwards: no file, log line or figure tells who was there.

Usage: chaos.py BINARY [PART...]    Standard library only; everything stays on loopback. Disks need root and mount, the
certificate needs openssl, the clock libfaketime; what cannot be had is skipped and counted so.
"""
import asyncio
import contextlib
import ctypes
import errno
import json
import os
import platform
import resource
import shutil
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path

from people import PATIENCE, PEOPLE, Part, Person, Server, after, count, goes_on, numbers, until

BUSY = 5  # seconds that a write waits for the one before it (store/src/lib.rs)

# --- disks ------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def mounted(at: Path, *wishes: object):
    at.mkdir(exist_ok=True)
    subprocess.run(["mount", *wishes, at], check=True, capture_output=True)
    try:
        yield at
    finally:
        subprocess.run(["umount", at], check=True, capture_output=True)


async def acknowledge(server: Server, room: dict) -> tuple[str, set[int]]:
    """What the disk took and the operator was told."""
    question = f"question {next(numbers)}"
    if (await server.change(room, question))[0] != 200:
        raise SystemExit("a sound disk takes no change")
    invite = (await server.ask("POST", f"/api/rooms/{room['id']}/invites", {"role": "guest"}))[1]
    return question, {invite["id"]}


async def refuses(part: Part, server: Server, room: dict, host: Person, guest: Person, kept: str) -> str:
    """The disk takes nothing: what everybody is told. Returns what was acknowledged last."""
    status, said = 200, {}
    for _ in range(200):
        wish = f"question {next(numbers)} " + "?" * 150
        status, said = await server.change(room, wish)
        if status != 200:
            break
        kept = wish
    part.check("a change over HTTP is refused with a sentence",
               (status, said.get("code")) == (503, "unavailable") and said.get("message"), f"{status} {said.get('code')}")
    status, said = await server.ask("POST", f"/api/rooms/{room['id']}/invites", {"role": "guest"})
    part.check("so is a new invite", (status, said.get("code")) == (503, "unavailable"), f"{status} {said.get('code')}")
    told = await host.ask(type="change-room", set={"question": f"question {next(numbers)}"})
    part.check("a host is told that it is so now, and not kept", told.get("code") == "not-kept", told.get("code"))
    part.check("texts, hands and seats go on", await goes_on(host, guest))
    newcomer = await server.enter(room["guest"], "Niji")
    part.check("a newcomer comes in by a link", newcomer.inside)
    await newcomer.ask(type="leave")
    part.check("/readyz says no", not await server.is_ready())
    return kept


async def remembers(part: Part, server: Server, room: dict, question: str, invites: set[int]) -> None:
    kept = await server.question(room)
    listed = {one["id"] for one in (await server.ask("GET", f"/api/rooms/{room['id']}/invites"))[1]["invites"]}
    part.check("after a restart nothing acknowledged is lost", kept == question and invites <= listed)


async def full_disk(part: Part, folder: Path) -> None:
    if os.geteuid() != 0 or not shutil.which("mount"):
        return part.skip("needs root and mount")
    with mounted(folder / "disk", "-t", "tmpfs", "-o", "size=12m", "tmpfs") as disk:
        server = await Server(folder, disk / "data").start()
        try:
            room, host, guest = await server.circle()
            diary = await server.room("diary")
            writer = await server.enter(diary["host"], "Hana")
            await writer.ask(type="change-room", set={"history": "days"})
            kept, invites = await acknowledge(server, room)
            ballast = disk / "ballast"
            with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
                while file.write(bytes(4096)):
                    pass
            await refuses(part, server, room, host, guest, kept)
            told = await writer.ask(type="write", to="everyone", body="heard, not kept")
            part.check("a text in a room that keeps texts is heard, and not kept",
                       told.get("code") == "not-kept" and writer.texts() == ["heard, not kept"])
            part.check("the log says why", "database or disk is full" in server.log.read_text())

            ballast.unlink()
            wish = f"question {next(numbers)}"

            async def takes() -> bool:
                return (await server.change(room, wish))[0] == 200

            part.check("with space again it keeps by itself", await until(takes) is not None)
            took = await until(server.is_ready)
            part.check("/readyz says yes", took is not None, after(took))
            more = (await server.ask("POST", f"/api/rooms/{room['id']}/invites", {"role": "guest"}))[1]
            part.check("and a text is kept", (await writer.ask(type="write", to="everyone", body="kept"))["type"] == "ok")
            part.check("nobody had to come back", host.inside and guest.inside and writer.inside)

            await server.end(signal.SIGKILL)
            await server.start()
            await remembers(part, server, room, wish, invites | {more["id"]})
            again = await server.enter(diary["host"], "Hana")
            texts = [text["body"] for text in again.said[0]["texts"]]
            part.check("the kept text is there, the other not", texts == ["kept"], texts)
        finally:
            await server.end()


async def read_only(part: Part, folder: Path) -> None:
    if os.geteuid() != 0 or not shutil.which("mkfs.ext4") or not Path("/dev/loop-control").exists():
        return part.skip("needs root, mkfs.ext4 and loop devices")
    image = folder / "image"
    with image.open("wb") as file:
        file.truncate(24 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True, capture_output=True)
    server = Server(folder, folder / "disk" / "data")
    with mounted(folder / "disk", "-o", "loop", image) as disk:
        await server.start()
        try:
            room, host, guest = await server.circle()
            kept, invites = await acknowledge(server, room)
            # What the kernel does with a disk that fails.
            subprocess.run(["mount", "-o", "remount,abort", disk], check=True, capture_output=True)
            kept = await refuses(part, server, room, host, guest, kept)
            part.check("the log says why", any(words in server.log.read_text().lower()
                                               for words in ("readonly", "read-only", "disk i/o error")))
        finally:
            code = await server.end()
        part.check("it ends well", code == 0, f"exit code {code}")
        refused = server.begin(stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        _, said = await asyncio.to_thread(refused.communicate, timeout=PATIENCE)
        lines = [line for line in said.decode().splitlines() if line]
        part.check("a start is refused with one sentence that names the folder",
                   refused.returncode == 1 and len(lines) == 1 and str(disk / "data") in lines[0], lines)
    with mounted(folder / "disk", "-o", "loop", image):
        await server.start()
        await remembers(part, server, room, kept, invites)
        await server.end()


# --- what else is taken away ------------------------------------------------------------------------------------------


async def locked(part: Part, folder: Path) -> None:
    server = await Server(folder, folder / "data").start()
    try:
        room, host, guest = await server.circle()
        other = await server.room("other")
        thief = sqlite3.connect(server.data / "enza.db", isolation_level=None)
        thief.execute("BEGIN EXCLUSIVE")
        began = time.monotonic()
        first = asyncio.create_task(server.change(room, "while it is held"))
        by_host = asyncio.create_task(host.ask(type="change-room", set={"locked": False}))
        part.check("texts, hands and seats go on", await goes_on(host, guest))
        newcomer = await server.enter(room["guest"], "Niji")
        part.check("a newcomer comes in by a link and waits for nothing",
                   newcomer.inside and time.monotonic() - began < BUSY / 2, after(time.monotonic() - began))
        status, said = await first
        took = time.monotonic() - began
        part.check("a write that waited too long is refused", (status, said.get("code")) == (503, "unavailable"), after(took))
        late = asyncio.create_task(server.change(other, "late"))
        await asyncio.sleep(0.5)
        thief.execute("ROLLBACK")
        thief.close()
        status, _ = await late
        part.check("one that waited less is late, and kept", status == 200 and await server.question(other) == "late")
        told = await by_host
        part.check("the host is told what is kept", told["type"] == "ok" or told.get("code") == "not-kept",
                   told.get("code", "ok"))
        status, _ = await server.change(room, "afterwards")
        part.check("afterwards everything is kept, and nobody was thrown out",
                   status == 200 and await goes_on(host, guest) and newcomer.inside)
    finally:
        await server.end()


async def descriptors(part: Part, folder: Path) -> None:
    server = await Server(folder, folder / "data").start()
    hoard = []
    try:
        room, host, guest = await server.circle()
        await asyncio.sleep(0.2)
        highest = max(int(one.name) for one in Path(f"/proc/{server.process.pid}/fd").iterdir())
        _, hard = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (highest + 4, hard))
        for _ in range(24):
            one = socket.create_connection(("127.0.0.1", server.port), 5, source_address=(PEOPLE, 0))
            one.send(b"G")  # not silent: those are closed first
            hoard.append(one)
        await asyncio.sleep(0.5)
        newcomer = asyncio.create_task(server.enter(room["guest"], "Niji"))
        used, began = server.processor(), time.monotonic()
        part.check("texts, hands and seats go on", await goes_on(host, guest))
        told = await host.ask(type="change-room", set={"question": "without descriptors"})
        part.check("what is changed inside is kept", told["type"] == "ok", told["type"])
        await asyncio.sleep(1)
        share = (server.processor() - used) / (time.monotonic() - began)
        part.check("a newcomer waits", not newcomer.done())
        part.check("and the server does not spin", share < 0.3, f"{share:.0%} of a processor")
        complaints = server.log.read_text().count("a connection cannot be accepted")
        part.check("the log says so, once", complaints == 1, f"{complaints} times")
        for one in hoard:
            one.close()
        began = time.monotonic()
        await newcomer
        part.check("who waited comes in by themselves", newcomer.result().inside, after(time.monotonic() - began))
        part.check("nobody was thrown out", await goes_on(host, guest))
    finally:
        for one in hoard:
            one.close()
        await server.end()


def certificate(folder: Path, name: str, seconds: float) -> tuple[Path, Path]:
    """One for localhost that is good from an hour ago until so many seconds from now."""
    home = folder / name
    home.mkdir()
    (home / "index").touch()
    (home / "serial").write_text("01\n")
    (home / "conf").write_text(f"""[ca]
default_ca = it
[it]
database = {home}/index
serial = {home}/serial
new_certs_dir = {home}
default_md = sha256
policy = any
x509_extensions = names
unique_subject = no
[any]
commonName = supplied
[names]
subjectAltName = DNS:localhost
basicConstraints = critical,CA:TRUE
[req]
distinguished_name = nobody
[nobody]
""")
    def moment(at: float) -> str:
        return (datetime.now(timezone.utc) + timedelta(seconds=at)).strftime("%Y%m%d%H%M%SZ")

    key, wish, cert = home / "key.pem", home / "wish", home / "cert.pem"
    for order in (
            ["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-config", home / "conf",
             "-subj", f"/CN={name}", "-keyout", key, "-out", wish],
            ["ca", "-batch", "-selfsign", "-notext", "-config", home / "conf", "-keyfile", key, "-in", wish,
             "-startdate", moment(-3600), "-enddate", moment(seconds), "-out", cert]):
        subprocess.run(["openssl", *order], check=True, capture_output=True)
    return cert, key


async def ended_certificate(part: Part, folder: Path) -> None:
    if not shutil.which("openssl"):
        return part.skip("needs openssl")
    good = 8.0
    (short, short_key), (long, long_key) = certificate(folder, "short", good), certificate(folder, "long", 86_400 * 30)
    ends = time.monotonic() + good
    cert, key = folder / "cert.pem", folder / "key.pem"
    shutil.copy(short, cert), shutil.copy(short_key, key)
    server = await Server(folder, folder / "data", "--cert", cert, "--key", key, trust=short).start()
    try:
        room, host, guest = await server.circle()
        part.check("a circle over HTTPS", await goes_on(host, guest))
        early = time.monotonic() < ends
        await asyncio.sleep(max(0.0, ends + 1.2 - time.monotonic()))
        refusal = ""
        try:
            await server.ask("GET", "/healthz")
        except ssl.SSLCertVerificationError as error:
            refusal = error.verify_message
        part.check("its end: newcomers' browsers refuse it", early and "expired" in refusal, refusal)
        part.check("those inside go on", await goes_on(host, guest))
        log = server.log.read_text()
        part.check("the log said that the end comes, that it came, and what to do, once each",
                   log.count("the certificate will soon be over") == log.count("the certificate is over") == 1
                   and log.count("without a restart") == 2)
        asked = [Server.binary, "doctor", "--json", "--data", server.data, "--port", str(server.port), "--cert", cert, "--key", key]
        doctor = await asyncio.to_thread(subprocess.run, asked, capture_output=True, timeout=PATIENCE)
        finding = [one for one in json.loads(doctor.stdout)["checks"] if one["check"] == "certificate"]
        part.check("`enza doctor` says what to do", doctor.returncode == 1 and finding[0]["verdict"] == "bad"
                   and "has ended" in finding[0]["what"] and finding[0]["do"], finding[0]["what"])
        shutil.copy(long, cert), shutil.copy(long_key, key)
        server.trust = ssl.create_default_context(cafile=long)
        took = await until(server.is_ready)
        part.check("a new one in its files lets people in without a restart", took is not None, after(took))
        figures = (await server.ask("GET", "/metrics"))[1]["text"]
        ending = float(figures.split("\nenza_certificate_end_time_seconds ")[1].split()[0])
        part.check("the figures tell its end", 29 < (ending - time.time()) / 86_400 < 31)
        newcomer = await server.enter(room["guest"], "Niji")
        part.check("nobody was thrown out", await goes_on(host, guest) and newcomer.inside)
    finally:
        await server.end()


async def clock(part: Part, folder: Path) -> None:
    fake = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
    if fake is None or b"ld-linux" not in Path(Server.binary).read_bytes()[:4096]:
        return part.skip("needs libfaketime, and a binary that is linked dynamically")
    hand = folder / "clock"

    def jump(seconds: int) -> None:
        fresh = folder / "fresh"
        fresh.write_text(f"{seconds:+d}\n")
        fresh.replace(hand)

    jump(0)
    server = await Server(folder, folder / "data", LD_PRELOAD=str(fake), FAKETIME_TIMESTAMP_FILE=str(hand),
                          FAKETIME_NO_CACHE="1", FAKETIME_DONT_FAKE_MONOTONIC="1", DONT_FAKE_MONOTONIC="1").start()

    async def rests() -> float:
        """Its share of a processor while nobody asks for anything."""
        used = server.processor()
        await asyncio.sleep(1.5)
        return (server.processor() - used) / 1.5

    try:
        room, host, guest = await server.circle()
        part.check("a circle", await goes_on(host, guest))
        for seconds, words in ((3700, "an hour forwards"), (-3700, "and more than two back")):
            before = (await server.ask("POST", "/api/join", {"invite": room["guest"], "name": "Niji"}))[1]
            jump(seconds)
            part.check(f"{words}: the circle goes on", await goes_on(host, guest))
            share = await rests()
            part.check(f"{words}: it does not spin", share < 0.3, f"{share:.0%} of a processor")
            status = await Person(server, before).knock()
            part.check(f"{words}: a token of before is judged by the new time", status == 401, status)
            newcomer = await server.enter(room["guest"], "Niji")
            part.check(f"{words}: newcomers come in", newcomer.inside)
            await newcomer.ask(type="leave")
            kept = (await server.change(room, words))[0] == 200 and await server.question(room) == words
            part.check(f"{words}: what is changed is kept", kept and await server.is_ready())
        jump(0)
        part.check("right again: nobody was thrown out", await goes_on(host, guest))
    finally:
        await server.end()


# --- a media thread ---------------------------------------------------------------------------------------------------


def fail_poll(thread: int) -> None:
    """The thread's wait for its socket ends with EBADF, as if the kernel had taken its descriptor (ptrace(2), x86_64)."""
    attach, detach, read, write = 16, 17, 12, 13
    libc, registers = ctypes.CDLL(None, use_errno=True), (ctypes.c_ulonglong * 27)()
    libc.ptrace.argtypes, libc.ptrace.restype = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p], ctypes.c_long

    def trace(wish: int, data: object = None) -> None:
        if libc.ptrace(wish, thread, None, ctypes.cast(data, ctypes.c_void_p) if data else None) < 0:
            raise OSError(ctypes.get_errno(), "ptrace")

    trace(attach)
    os.waitpid(thread, 0x40000000)  # __WALL: it is a thread of another process
    trace(read, registers)
    registers[10], registers[15] = 2**64 - errno.EBADF, 2**64 - 1  # rax; orig_rax: it is not begun again
    trace(write, registers)
    trace(detach)


async def media_thread(part: Part, folder: Path) -> None:
    if os.geteuid() != 0 or platform.machine() != "x86_64":
        return part.skip("needs root and x86_64")
    server = await Server(folder, folder / "data").start()
    try:
        room, host, guest = await server.circle()
        await acknowledge(server, room)
        kept, ring = await server.question(room), host.ring()
        await asyncio.sleep(1.2)  # the running circle is written down once a second
        threads = Path(f"/proc/{server.process.pid}/task").iterdir()
        media = next(int(one.name) for one in threads if (one / "comm").read_text().startswith("media-"))
        # One thread attaches and lets go.
        await asyncio.to_thread(fail_poll, media)
        began = time.monotonic()
        status = await asyncio.to_thread(server.process.wait, PATIENCE)
        log = server.log.read_text()
        part.check("the process ends with a sentence and exit code 1", status == 1 and "a media thread ends" in log,
                   f"exit code {status} {after(time.monotonic() - began)}")
        await server.start()
        again = [await Person(server, person.ticket).open() for person in (host, guest)]
        part.check("started again, everybody sits where they sat, and nothing is lost",
                   again[1].ring() == ring and await server.question(room) == kept and await goes_on(*again))
    finally:
        await server.end()


# --- what is left of people -------------------------------------------------------------------------------------------


def told(folder: Path, words: dict[str, bytes], apart: tuple[Path, ...] = ()) -> list[str]:
    """Which of the words stand in which file, byte for byte."""
    files = [file for file in folder.rglob("*") if file.is_file() and file not in apart]
    return [f"{what} in {file.name}" for file in files for what, word in words.items() if word in file.read_bytes()]


async def traces(part: Part, folder: Path) -> None:
    data = folder / "data"
    server = await Server(folder, data, "--rooms", "closed").start()
    try:
        # What the server keeps to itself stands in files for its owner alone; here it is looked for everywhere else.
        keys = {"operator key": (data / "operator-key").read_bytes().strip(),
                "signing secret": (data / "api-key.toml").read_text().split('api_secret = "')[1].split('"')[0].encode()}
        first = {f"first link {number}": link.split("#")[1].split()[0].encode()
                 for number, link in enumerate(line for file in data.iterdir() if file.is_file() and "link" in file.name
                                               for line in file.read_text().splitlines() if "#" in line)}
        own = tuple(file for file in data.iterdir()
                    if file.name in ("operator-key", "api-key.toml") or "link" in file.name)

        quiet = await server.room("quiet")
        await server.ask("PUT", f"/api/rooms/{quiet['id']}/passphrase", {"passphrase": "Passwort-Kolibri"})
        names = ["Xanthippe Quastenflosser", "千代紙 折鶴"]
        people = []
        for name, invite in zip(names, (quiet["host"], quiet["guest"])):
            ticket = (await server.ask("POST", "/api/join", {
                "invite": invite, "name": name, "passphrase": "Passwort-Kolibri", "mark": f"mark-{name[:1].encode().hex()}"}))[1]
            people.append(await Person(server, ticket).open())
        host, guest = people
        texts = ["Mein Zebrafink singt nachts", "ひみつの 薬の 名前", "nur für den Gastgeber: Wolkenkuckuck"]
        await guest.ask(type="write", to="everyone", body=texts[0])
        await host.ask(type="write", to="everyone", body=texts[1])
        await guest.ask(type="write", to="hosts", body=texts[2])
        await goes_on(host, guest)
        # Wrong ones are secrets too: they are often right ones with a slip.
        await server.ask("POST", "/api/join", {"invite": "wrong-Invite-Pfefferminz", "name": names[0]})
        await server.ask("POST", "/api/join", {"invite": quiet["guest"], "name": names[1], "passphrase": "Passwort-Kobold"})
        await Person(server, {**guest.ticket, "token": guest.ticket["token"][:-4] + "AAAA"}).knock()
        await host.ask(type="remove", participant=guest.ticket["identity"], ban=True)

        secret = {f"name {n}": name.encode() for n, name in enumerate(names)}
        secret |= {f"text {n}": text.encode() for n, text in enumerate(texts)}
        secret |= {f"token {n}": person.ticket["token"].split(".")[1][:80].encode() for n, person in enumerate(people)}
        secret |= {f"token's seal {n}": person.ticket["token"].rsplit(".")[-1][:-4].encode() for n, person in enumerate(people)}
        secret |= {f"invite of the {who}": quiet[who].encode() for who in ("host", "guest")}
        secret |= {"passphrase": b"Passwort-Kolibri", "wrong passphrase": b"Passwort-Kobold",
                   "wrong invite": b"wrong-Invite-Pfefferminz", "address": PEOPLE.encode(), **keys, **first}
        secret |= {f"mark {n}": f"mark-{name[:1].encode().hex()}".encode() for n, name in enumerate(names)}
        await asyncio.sleep(1.5)  # the running circle is written down once a second
        status, figures = await server.ask("GET", "/metrics")
        found = [what for what, word in secret.items() if word in figures["text"].encode()]
        part.check("the figures tell nothing", status == 200 and not found, found)
        found = told(data, secret, own)
        part.check("a room that keeps nothing: no file tells anything", not found, found or f"{len(secret)} words")
        addresses = {"address, binary": socket.inet_aton(PEOPLE)}
        found = [one for one in told(data, addresses, own) if "enza.db" in one]
        part.check("nor has the database an address in four bytes", not found, found)

        diary = await server.room("diary")
        keeper = await server.enter(diary["host"], "Barnabas Schnurrbart")
        await keeper.ask(type="change-room", set={"history": "days", "historyDays": 2})
        await keeper.ask(type="write", to="everyone", body="Tagebuch: der Igel war da")
        kept = {"name that is kept": "Barnabas Schnurrbart".encode(), "text that is kept": b"der Igel war da"}
        found = told(data, kept)
        part.check("a room that keeps texts: they are found, so the search finds", len({one[:4] for one in found}) == 2, found)
        gone, _ = await server.ask("DELETE", f"/api/rooms/{diary['id']}")
        secret |= kept | {f"invite of the erased {who}": diary[who].encode() for who in ("host", "guest")}
        secret["token of the erased"] = keeper.ticket["token"].split(".")[1][:80].encode()

        async def nothing() -> bool:
            return not told(data, secret, own)

        took = await until(nothing, 5)
        part.check("erased: no byte of it is left in any file", gone == 204 and took is not None,
                   told(data, secret, own) or after(took))
    finally:
        await server.end()
    found = told(data, secret, own)
    part.check("nor after the end", not found, found)
    log = server.log.read_bytes()
    found = [what for what, word in secret.items() if word in log]
    part.check("the log at debug tells nothing", b"DEBUG" in log and not found, found or f"{log.count(10)} lines")


PARTS = {"full disk": full_disk, "read-only": read_only, "locked": locked, "descriptors": descriptors,
         "certificate": ended_certificate, "clock": clock,
         "media thread": media_thread, "traces": traces}


async def play(name: str, folder: Path) -> None:
    home = folder / name.replace(" ", "-")
    home.mkdir()
    part = Part(name)
    try:
        await PARTS[name](part, home)
    except (SystemExit, Exception) as error:  # one part that breaks does not hide the others
        part.check("it could be played to the end", False, f"{type(error).__name__}: {error}")


async def main(wanted: list[str]) -> None:
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(32))
    with tempfile.TemporaryDirectory() as folder:
        # Each has a server of its own; they wait more than they work.
        await asyncio.gather(*(play(name, Path(folder)) for name in wanted))


if __name__ == "__main__":
    Server.binary = sys.argv[1]
    asyncio.run(main(sys.argv[2:] or list(PARTS)))
    print(f"{count['pass']} passed, {count['FAIL']} failed, {count['skip']} skipped")
    sys.exit(count["FAIL"] != 0 or not count["pass"])
