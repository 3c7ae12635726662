#!/usr/bin/env python3
"""The documents are true: every command in them is typed as a reader would, or is exempt for a written reason; every link, flag
and variable leads somewhere; a document and its translation say the same.

Usage: documents.py BINARY    As root also with a user of its own for the server, as a service has. Standard library only;
everything stays on loopback and in a scratch folder.
"""
import base64
import json
import os
import re
import secrets
import shlex
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable
from itertools import zip_longest
from pathlib import Path

import certificates
import papers
from certificates import check, closing_line, make, until
from papers import DOCUMENTS, ROOT, Told

# The service's user, whose number is nobody else's here.
SERVICE = 61_234
ROOM_LINK = re.compile(r"https?://\S+/join#(\S+)")


def free_port() -> int:
    """For TCP and UDP."""
    while True:
        port = certificates.free_port()
        with socket.socket(type=socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(("0.0.0.0", port))
                return port
            except OSError:
                continue


class Machine:
    """The computer of the documents: its folders are in a scratch folder, its service is a process of ours."""

    def __init__(self, binary: Path, folder: Path) -> None:
        self.folder, self.root = folder, folder / "machine"
        self.data, self.here = self.root / "var/lib/enza/data", folder / "here"
        self.port, self.process = free_port(), None
        for place in (self.data, self.here, self.root / "usr/local/bin"):
            place.mkdir(parents=True)
        folder.chmod(0o755)
        self.program = self.here / "enza"
        shutil.copy(binary, self.program)
        self.environment = {"PATH": os.environ["PATH"], "LANG": "C", "HOME": str(folder)}
        if os.geteuid() == 0:
            shutil.chown(self.data, SERVICE, SERVICE)
        make(self.here, "fullchain")
        (self.here / "fullchain.key").rename(self.here / "privkey.pem")
        self.values: dict[str, str] = {}

    def become_service(self) -> None:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(SERVICE)
            os.setuid(SERVICE)

    def start(self) -> None:
        self.said = open(self.folder / "service.out", "w")
        self.process = subprocess.Popen(
            [self.program, "serve", "--port", str(self.port), "--data", self.data], stdout=self.said, stderr=self.said,
            cwd="/", env=self.environment, preexec_fn=self.become_service)
        if until(lambda: self.get("/readyz") == "ready\n") is None:
            raise SystemExit(f"the server does not start:\n{(self.folder / 'service.out').read_text()}")

    def stop(self) -> None:
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(10)
            self.process = None

    def get(self, path: str, body: dict | None = None) -> str:
        asked = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", body and json.dumps(body).encode(),
                                       {"content-type": "application/json"})
        with urllib.request.urlopen(asked, timeout=5) as answer:
            return answer.read().decode()

    def seat_somebody(self) -> None:
        """One person in the first room, as the page would seat them."""
        made = self.run("enza", "invite", "create", "--role", "host", "--data", self.data)
        invite = ROOM_LINK.search(made.stdout)[1]
        joined = json.loads(self.get("/api/join", {"invite": invite, "name": "Hana"}))
        self.seat = open_circle(socket.create_connection(("127.0.0.1", self.port), 5), joined)
        self.values |= {"ROOM": joined["circle"].split("/")[-2], "WHO": joined["identity"]}

    def run(self, *command: object, within: float = 20) -> subprocess.CompletedProcess:
        name, *arguments = map(str, command)
        program = self.program if name == "enza" else name
        return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=within, cwd=self.here,
                              env=self.environment, stdin=subprocess.DEVNULL)

    def words(self, text: str) -> list[str]:
        """A command as it is typed here: paths of the machine are in its folder, placeholders have values."""
        text = re.sub(r"^sudo ", "", text)
        for placeholder, value in {"<public address>": "192.0.2.10", "<host:port>": f"127.0.0.1:{self.port}",
                                   "FILE": str(self.here / "copy.db"), "URL": "http://127.0.0.1:9/", "TITLE": "'A quiet room'",
                                   "N": str(self.process.pid) if self.process else "N", **self.values}.items():
            text = re.sub(rf"(?<![\w-]){re.escape(placeholder)}(?![\w-])", value, text)
        text = re.sub(r"(?<=\s)/(usr|var|etc)/", rf"{self.root}/\1/", text)
        words = shlex.split(text)
        return ["enza", *words[1:]] if re.fullmatch(r"(\./)?enza(-before)?", words[0]) else words


def open_circle(stream: socket.socket, joined: dict, host: str = "localhost") -> socket.socket:
    """The circle's WebSocket, with its first message read."""
    key = base64.b64encode(secrets.token_bytes(16)).decode()
    stream.sendall((f"GET {joined['circle']}?access_token={joined['token']} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\n"
                    f"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n").encode())
    stream.settimeout(10)
    heard = b""
    while b"\r\n\r\n" not in heard or b'"type"' not in heard:
        more = stream.recv(4096)
        if not more:
            break
        heard += more
    if not heard.startswith(b"HTTP/1.1 101") or b'"type":"state"' not in heard:
        raise RuntimeError(heard[:200].decode(errors="replace"))
    return stream


# --- how each command is run ------------------------------------------------------------------------------------------

Run = Callable[[Machine, list[str]], tuple[bool, object]]


def local(*more: str, says: str = "", code: int = 0) -> Run:
    """Our program with `more` behind, on the machine's data folder where the command names none."""

    def run(machine: Machine, words: list[str]) -> tuple[bool, object]:
        data = [] if "--data" in words else ["--data", machine.data]
        done = machine.run(*words, *data, *more)
        return done.returncode == code and re.search(says, done.stdout) is not None, done.stderr[-300:] or done.stdout[-300:]

    return run


def serve(machine: Machine, words: list[str]) -> tuple[bool, object]:
    """Starts, shows its links, and ends well."""
    folder = machine.folder / f"data-{secrets.token_hex(4)}" / "data"
    more = ["--data", folder] + ([] if "--port" in words else ["--port", free_port()])
    out = machine.folder / "serve.out"
    with open(out, "w") as said:
        process = subprocess.Popen(list(map(str, [machine.program, *words[1:], *more])), stdout=said, stderr=said,
                                   cwd=machine.here, env=machine.environment)
    shown = until(lambda: len(ROOM_LINK.findall(out.read_text())) >= 2)
    process.send_signal(signal.SIGTERM)
    return shown is not None and process.wait(10) == 0, out.read_text()[-300:]


def check_only(machine: Machine, words: list[str]) -> tuple[bool, object]:
    folder = machine.folder / f"data-{secrets.token_hex(4)}" / "data"
    port = [] if "--port" in words else ["--port", free_port()]
    done = machine.run(*words, "--data", folder, *port)
    return done.returncode == 0, done.stderr


def install(machine: Machine, words: list[str]) -> tuple[bool, object]:
    """Shows the unit, writes it, and the service's own command would start."""
    dry = ["--dry-run"] if "--dry-run" not in words else []
    shown = machine.run(*words, *dry)
    if shown.returncode != 0:
        return False, shown.stderr
    if not dry:
        return "ExecStart=" in shown.stdout, shown.stdout
    done = machine.run(*words, "--root", machine.root)
    written = (machine.root / "etc/systemd/system/enza.service").read_text()
    start = re.search(r"^ExecStart=/usr/local/bin/enza (.*)$", written, re.M)
    would = check_only(machine, ["enza", *shlex.split(start[1]), "--check"])
    if not machine.process:
        # systemd would start it now.
        machine.start()
    return done.returncode == 0 and written == shown.stdout and would[0], would[1] or done.stderr


def uninstall(machine: Machine, words: list[str]) -> tuple[bool, object]:
    done = machine.run(*words, "--root", machine.root)
    return done.returncode == 0 and not (machine.root / "etc/systemd/system/enza.service").exists(), done.stderr


def doctor(machine: Machine, words: list[str]) -> tuple[bool, object]:
    """Finds the server that runs here; that the name is nobody's here is not its mistake."""
    data = [] if "--data" in words else ["--data", machine.data]
    done = machine.run(*words, *data, "--json")
    found = {one["check"]: one["verdict"] for one in json.loads(done.stdout)["checks"]}
    return done.returncode in (0, 1) and found.get("server") == "ok", found


def outside(machine: Machine, words: list[str]) -> tuple[bool, object]:
    """Shows a link for a phone; tests/browser opens it, here nobody does."""
    out = machine.folder / "outside.out"
    with open(out, "w") as said:
        process = subprocess.Popen([machine.program, *words[1:], "--data", machine.data], stdout=said, stderr=said,
                                   cwd=machine.here, env=machine.environment)
    shown = until(lambda: re.search(r"http\S+/doctor#\S", out.read_text()))
    process.kill()
    process.wait()
    return shown is not None, out.read_text()[-300:]


def load(machine: Machine, words: list[str]) -> tuple[bool, object]:
    """Two people a room for a second. The search for the most takes the machine a minute: that one has to begin."""
    key = dict(re.findall(r'^(\w+) = "(.+)"$', (machine.data / "api-key.toml").read_text(), re.M))
    given = [{"K": key["api_key"], "S": key["api_secret"]}.get(word, word) for word in words]
    command = [machine.program, *given[1:], "--url", f"http://127.0.0.1:{machine.port}", "--participants", "2", "--duration", "1s"]
    if "--slice" in words:
        command.append("--json")
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said, env=machine.environment)
        try:
            code = process.wait(2 if "--find-capacity" in words else 60)
        except subprocess.TimeoutExpired:
            code = 0 if "--find-capacity" in words else None
        process.kill()
        process.wait()
        said.seek(0)
        return code == 0, said.read()[-300:]


def seated(says: str = "") -> Run:
    """With somebody in the room."""

    def run(machine: Machine, words: list[str]) -> tuple[bool, object]:
        before = dict(machine.values)
        machine.seat_somebody()
        now = {before[name]: machine.values[name] for name in before}
        typed = [now.get(word, word) for word in words]
        ok, detail = local(says=says)(machine, typed)
        return ok, f"{detail}  {before} {machine.values}"

    return run


def remove(machine: Machine, words: list[str]) -> tuple[bool, object]:
    done = seated()(machine, words)
    banned = machine.run("enza", "ban", "list", machine.values["ROOM"], "--data", machine.data, "--json")
    return done[0] and '"id"' in banned.stdout, done[1] or banned.stdout


def backup(machine: Machine, words: list[str]) -> tuple[bool, object]:
    Path(words[2] if os.path.isabs(words[2]) else machine.here / words[2]).unlink(missing_ok=True)
    return local()(machine, words)


def restore(machine: Machine, words: list[str]) -> tuple[bool, object]:
    """Never under a running server; afterwards the service can read what root put there."""
    if machine.process:
        refused = local(code=1)(machine, words)
        machine.stop()
        done = restore(machine, words)
        machine.start()
        return refused[0] and done[0], refused[1] if not refused[0] else done[1]
    if "before-update.db" in words:
        newer_database(machine)
    put = local()(machine, words)
    owners = {file.name: file.stat().st_uid for file in machine.data.iterdir()}
    return put[0] and set(owners.values()) == {machine.data.stat().st_uid}, put[1] or owners


def newer_database(machine: Machine) -> None:
    """As a newer program leaves it, which this one cannot open."""
    with sqlite3.connect(machine.data / "enza.db") as database:
        database.execute("INSERT INTO _sqlx_migrations VALUES (9999, 'newer', CURRENT_TIMESTAMP, TRUE, x'00', 0)")
    database.close()
    refused = machine.run("enza", "serve", "--data", machine.data, "--port", free_port())
    check("a newer version's database is refused", refused.returncode == 1 and "another version" in refused.stderr, refused.stderr.strip()[-120:])


def service(machine: Machine, words: list[str]) -> tuple[bool, object]:
    match words[1]:
        case "stop":
            machine.stop()
        case "start":
            machine.start()
        case "restart":
            machine.stop()
            machine.start()
    return True, ""


def shell(machine: Machine, words: list[str]) -> tuple[bool, object]:
    """Another program, on the machine's own folders."""
    inside = all(str(machine.folder) in word for word in words if word.startswith("/"))
    done = machine.run(*words) if inside else None
    return done is not None and done.returncode == 0, words if done is None else done.stderr


def named(path: str) -> Run:
    """A measurement that takes minutes to build: here only that it is there."""
    return lambda machine, words: ((ROOT / path).exists(), path)


# The first that fits the whole command counts.
RUN: list[tuple[str, Run]] = [
    (r"enza serve --check", check_only),
    (r"enza serve --help|enza --version", lambda machine, words: (machine.run(*words).returncode == 0, "")),
    (r"enza serve --lan", serve),
    (r"enza serve --development", serve),
    # A real start asks Let's Encrypt; tests/acme.py does it with an authority of its own.
    (r"enza serve --domain circle.example.jp", lambda machine, words: check_only(machine, [*words, "--check"])),
    (r"cargo run --release", lambda machine, words: serve(machine, ["enza", "serve"])),
    (r"cargo run --release -- serve --lan", lambda machine, words: serve(machine, ["enza", *words[4:]])),
    (r"enza(-before)? install .*", install),
    (r"enza uninstall", uninstall),
    (r"enza doctor --outside", outside),
    (r"enza doctor.*", doctor),
    (r"enza invite list.*", local(says=r"guest")),
    (r"enza invite create.*", local(says=r"/join#")),
    (r"enza invite revoke 2", local()),
    (r"enza room list", local(says=r"\w")),
    (r"enza room create TITLE", local(says=r"/join#")),
    (r"enza room (change ROOM --set .*|export ROOM|audit ROOM)", local()),
    (r"enza room end ROOM", seated()),
    (r"enza room delete ROOM --yes", local()),
    (r"enza participant list ROOM", seated("Hana")),
    (r"enza participant remove ROOM WHO --ban", remove),
    (r"enza ban list ROOM", local()),
    (r"enza token --room ROOM --identity WHO", local(says=r"^\S+\.\S+\.\S+\n$")),
    (r"enza backup .*", backup),
    (r"enza(-before)? restore .*", restore),
    (r"systemctl (stop|start|restart) enza", service),
    (r"cp /usr/local/bin/enza enza-before", shell),
    (r"rm -rf /var/lib/enza .*", shell),
    (r"enza load .*", load),
    (r"cargo bench -p sfu --bench forward", named("server/sfu/benches/forward.rs")),
    (r"cargo run --release -p load --example fan_out", named("server/load/examples/fan_out.rs")),
]

# Not run, and why.
EXEMPT: list[tuple[str, str]] = [
    (r"git clone .*", "the checkout is there already"),
    (r"tests/run", "this test is a part of it"),
    (r"tests/fuzz/run 600", "a stage of tests/run of its own"),
    (r"echo ENZA_DOMAIN=\S+ > \.env|(ENZA_\w+=(<[^>]*>|\S+) )*(docker|podman|buildah) .*", "containers have tests of their own"),
    (r"scp .*", "needs another machine"),
    (r"ufw allow 443/(tcp|udp)", "changes the firewall of the machine that the tests run on"),
    (r"systemctl status enza|journalctl .*", "asks systemd, which does not run the service here"),
]

# What would make others fail is run when everything else is done, in this order.
LAST = [r"enza participant remove .*", r"enza room end ROOM", r"enza room delete .*", r"enza uninstall", r"rm -rf .*"]


def fits(table: list, text: str):
    plain = re.sub(r"^(sudo )?(\./)?", "", text)
    return next((entry for entry in table if re.fullmatch(entry[0], plain)), None)


def last(told: Told) -> int:
    plain = re.sub(r"^(sudo )?(\./)?", "", told.text)
    return next((at + 1 for at, pattern in enumerate(LAST) if re.fullmatch(pattern, plain)), 0)


def run_all(machine: Machine, told: list[Told]) -> None:
    ran = named_only = exempt = 0
    # In a block the order is the reader's; the same words elsewhere are not typed twice.
    done: set[str] = set()
    for one in sorted(told, key=last):
        entry, reason = fits(RUN, one.text), fits(EXEMPT, one.text)
        if reason:
            exempt += 1
            continue
        stateful = re.search(r"systemctl|restore", one.text)
        if one.text in done and not stateful:
            continue
        done.add(one.text)
        words = machine.words(one.text)
        if entry is None and words[0] == "enza" and all(re.fullmatch(r"[a-z]+", word) for word in words[1:]):
            # A command's name in a sentence.
            helped = machine.run(*words, "--help")
            check(f"{one.text}", helped.returncode == 0, f"({one.where}) is a command")
            named_only += 1
            continue
        if entry is None:
            check(one.text, False, f"({one.where}) is not known to tests/documents.py: say there how to run it, or why not")
            continue
        ok, detail = entry[1](machine, words)
        check(one.text, ok, f"({one.where})" + ("" if ok else f"  {detail}"))
        ran += 1
    print(f"{ran} commands typed, {named_only} named in a sentence, {exempt} exempt:")
    for pattern, reason in EXEMPT:
        held = [one.text for one in told if (fits(EXEMPT, one.text) or [None])[0] == pattern]
        check(f"exempt: {reason}", bool(held), f"{len(held)} times" if held else "no document says this any more")


# --- what is only read ------------------------------------------------------------------------------------------------

def helps(machine: Machine) -> tuple[set[str], str]:
    """Every flag that some command has, and what `enza --help` says."""
    texts, waiting = [], [[]]
    while waiting:
        path = waiting.pop()
        text = machine.run("enza", *path, "--help").stdout
        texts.append(text)
        listed = re.search(r"^Commands:\n(.*?)(\n\n|\Z)", text, re.S | re.M)
        for name in re.findall(r"^  ([a-z][a-z-]*) ", listed[1], re.M) if listed else []:
            if name != "help":
                waiting.append([*path, name])
    return set(re.findall(r"--[a-z][a-z0-9-]+", "\n".join(texts))), texts[0]


def read_all(known_flags: set[str], general: str) -> None:
    known = papers.known_variables()
    for path in DOCUMENTS:
        name, text = str(path.relative_to(ROOT)), path.read_text()
        broken = papers.broken_links(path, text)
        check(f"{name}: every link leads somewhere", not broken, broken or "")
        strange = papers.flags(text) - known_flags - papers.FOREIGN_FLAGS
        check(f"{name}: every flag is there", not strange, strange or "")
        strange = papers.variables(text) - known
        check(f"{name}: every variable is read by something", not strange, strange or "")
    settings = set(re.findall(r'"(ENZA_[A-Z_]+)"', (ROOT / "server/enza/src/config.rs").read_text()))
    missing = settings - set(re.findall(r"ENZA_[A-Z_]+", general))
    check("enza --help names every variable of the settings", not missing, missing or "")
    for path in DOCUMENTS:
        if path.name.endswith(".ja.md"):
            ours, theirs = (papers.shape(one.read_text()) for one in (path, path.with_name(path.name.replace(".ja", ""))))
            for what, value in theirs.items():
                differ = [pair for pair in zip_longest(value, ours[what]) if pair[0] != pair[1]] if isinstance(value, list) else [(value, ours[what])]
                check(f"{path.name}: the same {what} as in English", ours[what] == value, "" if ours[what] == value else differ[:3])


def see_mistakes(known_flags: set[str]) -> None:
    """The readers above see what is wrong."""
    path = ROOT / "server/SELF_HOSTING.md"
    text = path.read_text()
    check("a link to nowhere is seen", papers.broken_links(path, text + "[x](nothing.md)") == ["nothing.md"])
    check("an anchor to nowhere is seen", papers.broken_links(path, text + "[x](#nothing)") == ["#nothing"])
    check("a flag that is not there is seen", "--domian" in papers.flags(text + "`--domian`") - known_flags)
    check("a variable that nothing reads is seen", "ENZA_DOMIAN" in papers.variables(text + "`ENZA_DOMIAN`") - papers.known_variables())
    check("a command that nobody declared is seen", fits(RUN + EXEMPT, "enza frobnicate --all") is None)
    other = papers.shape(text.replace("enza uninstall", "enza unstall", 1).replace("\n## ", "\n### ", 1))
    seen = [what for what, value in papers.shape(text).items() if other[what] != value]
    check("a translation that differs is seen", seen == ["headings", "commands"], seen)


def main(binary: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        machine = Machine(binary, Path(name))
        known_flags, general = helps(machine)
        read_all(known_flags, general)
        see_mistakes(known_flags)
        told = [one for path in DOCUMENTS if not path.name.endswith(".ja.md")
                for one in papers.commands(str(path.relative_to(ROOT)), path.read_text())]
        machine.start()
        try:
            machine.seat_somebody()
            run_all(machine, told)
        finally:
            machine.stop()
    closing_line()


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
