#!/usr/bin/env python3
"""The image of server/Dockerfile, run by Docker as docker-compose.yml says and by the commands that the documents
give: a certificate by ACME, two people in a call, a stop, a crash, and everything still there.

Usage: container.py BINARY FOLDER    BINARY goes into the image in place of what the Dockerfile would build: a static one as it
                                     is, an ordinary one without its symbols and with this machine's C library lent to it.
                                     "Dockerfile": that builds it, with NODE_IMAGE and RUST_IMAGE. FOLDER holds pebble and
                                     pebble-challtestsrv.

Linux, root; Docker with docker-compose or its plugin (Debian: docker.io, docker-compose), openssl, iproute2, Chromium. The rented server is a
network namespace with a Docker of its own, whose data lies in a temporary folder; the world around it, with the authority, a name
server and the browser, is another one. No Docker of this machine is touched, and nothing leaves.
"""
import json
import os
import re
import shlex
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

from acme import Authority, running, start
from certificates import check, closing_line, until

DOMAIN, MACHINE, WORLD = "circle.example", "203.0.113.10", "203.0.113.20"
TOP = Path(__file__).resolve().parent.parent
TEXT = (TOP / "server/SELF_HOSTING.md").read_text()
SIZE_MAX = 30_000_000  # bytes
NOBODY = "65532:65532"
# The documents' name, and the line by which they write it down.
TOLD = "circle.example.jp"
DOMAIN_LINE = f"echo ENZA_DOMAIN={TOLD} > .env"
# The project's name: the container is enza_enza_1, or enza-enza-1 for newer ones.
PROJECT = "enza"


def run(*command: object, **more) -> subprocess.CompletedProcess:
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, **{"timeout": 60, **more})


def documented(line: str) -> str:
    """A line that the documents have, as it is."""
    assert f"{line}\n" in TEXT or f"`{line}`" in TEXT, f"server/SELF_HOSTING.md does not say: {line}"
    return line


class Docker:
    """A daemon of its own in the namespace of the rented server."""

    def __init__(self, folder: Path, namespace: str) -> None:
        self.folder, self.socket = folder, folder / "docker.sock"
        # Debian's own client builds with BuildKit without a plugin, which leaves out the stages that are not needed.
        self.client = next(path for path in ("/usr/bin/docker", "docker") if path == "docker" or Path(path).exists())
        self.composing = ["docker-compose"] if shutil.which("docker-compose") else [self.client, "compose"]
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "DOCKER_HOST": f"unix://{self.socket}",
                            "DOCKER_BUILDKIT": "1", "COMPOSE_PROJECT_NAME": PROJECT, "LANG": "C.UTF-8"}
        self.daemon = start(
            ["nsenter", f"--net=/run/netns/{namespace}", "dockerd", "--host", f"unix://{self.socket}",
             "--data-root", folder / "data", "--exec-root", folder / "exec", "--pidfile", folder / "pid"],
            folder / "dockerd.log")
        came = until(lambda: self.do("version", "--format", "{{.Server.Version}}").returncode == 0, 30)
        if came is None:
            raise SystemExit(f"Docker does not start:\n{(folder / 'dockerd.log').read_text()[-2000:]}")

    def do(self, *words: object, **more) -> subprocess.CompletedProcess:
        return run(self.client, *words, env=self.environment, cwd=TOP, **more)

    def compose(self, *words: object) -> subprocess.CompletedProcess:
        """In the folder that holds docker-compose.yml, and nothing else of ours but what the reader is told to write there."""
        return run(*self.composing, *words, env=self.environment, cwd=self.folder / "here", timeout=120)

    def typed(self, line: str) -> subprocess.CompletedProcess:
        """A line of the documents, at a terminal."""
        given = line.replace("docker compose", shlex.join(self.composing))
        return run("script", "--quiet", "--return", "--command", given, "/dev/null", env=self.environment, cwd=self.folder / "here",
                   stdin=subprocess.DEVNULL)

    def inspect(self, what: str) -> dict:
        return json.loads(self.do("inspect", what).stdout)[0]

    def stop(self) -> None:
        self.daemon.terminate()
        self.daemon.wait(30)


def libraries(binary: str) -> list[str]:
    """What a binary needs of this machine to start, its loader among them; nothing when it is static."""
    if binary == "Dockerfile" or "statically linked" in (said := run("ldd", binary)).stdout or said.returncode:
        return []
    return re.findall(r"(/\S+) \(0x", said.stdout)


def build(docker: Docker, binary: str, folder: Path) -> None:
    """The image, by the Dockerfile; its stages that compile are replaced by `binary`, if given."""
    if binary == "Dockerfile":
        recipe = Path("server/Dockerfile")
        words = [f"--build-arg={name}={os.environ[name]}" for name in ("NODE_IMAGE", "RUST_IMAGE") if name in os.environ]
    else:
        built, plain = folder / "built.tar", folder / "enza"
        run("strip", "-o", plain, binary)
        with tarfile.open(built, "w") as tar:
            tar.add(plain, "out/enza")
            data = tarfile.TarInfo("out/data")
            data.type, data.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(data)
        docker.do("import", built, "enza-built")
        # The last stage as it is, over an image in place of the stage that compiles.
        recipe, words = folder / "Dockerfile", []
        last = Path("server/Dockerfile").read_text().split("\nFROM scratch\n")[1]
        recipe.write_text(f"FROM enza-built AS build\n\nFROM scratch\n{last}")
    began = time.monotonic()
    done = docker.do("build", "--file", recipe, "--tag", "enza", *words, ".", timeout=2400)
    check("the Dockerfile makes an image", done.returncode == 0, f"{time.monotonic() - began:.1f} s")
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])


def look_at_image(docker: Docker, folder: Path) -> None:
    image = docker.inspect("enza")
    settings = image["Config"]
    check("it has at most 30 MB", image["Size"] <= SIZE_MAX, f"{image['Size'] / 1e6:.1f} MB")
    check("it runs as nobody", settings["User"] == NOBODY, settings["User"])
    check("it looks after itself", settings["Healthcheck"]["Test"] == ["CMD", "/enza", "health"], settings["Healthcheck"]["Test"])
    saved = folder / "image.tar"
    docker.do("save", "--output", saved, "enza")
    found = set()
    with tarfile.open(saved) as tar:
        for layer in json.load(tar.extractfile("manifest.json"))[0]["Layers"]:
            with tarfile.open(fileobj=tar.extractfile(layer)) as files:
                found |= {one.name.strip("/") for one in files}
    check("nothing is in it but the program and a folder", found == {"enza", "data"}, sorted(found))


def tls() -> socket.socket:
    return socket.create_connection((MACHINE, 443), timeout=5)


def certificate(trust: ssl.SSLContext) -> str:
    with tls() as tcp, trust.wrap_socket(tcp, server_hostname=DOMAIN) as shown:
        return shown.getpeercert()["serialNumber"]


def confined(pid: int) -> dict[str, str]:
    said = Path(f"/proc/{pid}/status").read_text()
    return dict(line.split(":\t", 1) for line in said.splitlines() if ":\t" in line)


def main(binary: str, programs: Path, machine: str, folder: Path) -> None:
    docker = Docker(folder, machine)
    try:
        live(docker, binary, programs, folder)
    finally:
        docker.do("rm", "--force", *docker.do("ps", "--all", "--quiet").stdout.split())
        docker.stop()


def live(docker: Docker, binary: str, programs: Path, folder: Path) -> None:
    build(docker, binary, folder)
    look_at_image(docker, folder)

    here = folder / "here"
    here.mkdir()
    shutil.copy(TOP / "docker-compose.yml", here)
    said = docker.compose("config").stderr
    check("without a domain it says what to write", DOMAIN_LINE in said, said.strip()[-70:])
    authority = Authority(folder, programs, 443, here=WORLD, dns=53, valid=86_400)
    authority.lead(DOMAIN, MACHINE)
    # What a real server has of itself: a name server, and an authority that the program knows. Its health is asked more often.
    lent = libraries(binary)
    print("the program is", "an ordinary build: this machine's C library is lent to it" if lent else "static")
    (folder / "root").mkdir()
    (folder / "root/root.pem").write_bytes(authority.root.read_bytes())
    (here / "docker-compose.override.yml").write_text(json.dumps({"services": {"enza": {
        "dns": [WORLD], "healthcheck": {"interval": "1s"},
        "volumes": [f"{folder}/root:/authority:ro", *(f"{file}:{file}:ro" for file in lent)],
        "environment": {"ENZA_ACME_DIRECTORY": authority.directory, "ENZA_ACME_ROOT": "/authority/root.pem"}}}}))

    docker.typed(documented(DOMAIN_LINE).replace(TOLD, DOMAIN))

    def up() -> str:
        done = docker.compose("up", "--detach", "--no-build")
        check("docker compose up", done.returncode == 0, done.stderr.strip()[-200:] if done.returncode else "")
        return docker.compose("ps", "--quiet").stdout.strip()

    def state(container: str) -> dict:
        return docker.inspect(container)["State"]

    def health(container: str) -> str:
        return state(container)["Health"]["Status"]

    container = up()
    came = until(lambda: health(container) == "healthy", 30)
    check("it becomes healthy", came is not None, f"after {came or 0:.1f} s")
    came = until(lambda: authority.issued() == 1, 30)
    serial = None

    def shown() -> bool:
        nonlocal serial
        serial = certificate(authority.trust())
        return True

    check("it gets a certificate for its domain", until(shown) is not None, f"after {came or 0:.1f} s")
    printed = docker.do("logs", container)
    links = re.findall(rf"https://{DOMAIN}/join#[\w-]+", printed.stdout)
    check("its log has the links", len(set(links)) == 2, f"{len(set(links))} links")
    shows = docker.typed(documented("docker compose logs enza"))
    check("docker compose logs shows them, as the documents say", all(link in shows.stdout for link in links))
    made = docker.typed(documented("docker compose exec enza /enza invite create --role host"))
    check("docker compose exec makes the host's link", made.returncode == 0 and f"https://{DOMAIN}/join#" in made.stdout,
          made.stdout.strip()[-200:] if made.returncode else "")
    wrong = [line for line in printed.stderr.splitlines() if " WARN " in line or " ERROR " in line]
    check("and no complaint", not wrong, wrong[:2])

    process = confined(state(container)["Pid"])
    rights = {name: process[name] for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb", "CapInh")}
    check("it has no right at all", all(int(bits, 16) == 0 for bits in rights.values()), rights)
    check("and is nobody", process["Uid"].split() == ["65532"] * 4 and process["Gid"].split() == ["65532"] * 4, process["Uid"])
    check("and can become nobody else, behind a filter", (process["NoNewPrivs"], process["Seccomp"]) == ("1", "2"))
    mounts = Path(f"/proc/{state(container)['Pid']}/mountinfo").read_text().splitlines()
    root = next(line.split()[5] for line in mounts if line.split()[4] == "/")
    check("what it runs from cannot be written", "ro" in root.split(","), root)
    with socket.create_connection((MACHINE, 80), timeout=5) as plain:
        plain.sendall(f"GET / HTTP/1.1\r\nHost: {DOMAIN}\r\nConnection: close\r\n\r\n".encode())
        answer = plain.recv(500).decode()
    check("http:// leads to it", " 308 " in answer and f"location: https://{DOMAIN}/" in answer.lower(), answer.split("\r\n")[0])
    looked = docker.do("exec", container, "/enza", "doctor", "--json")
    found = {one["check"]: one for one in json.loads(looked.stdout or '{"checks": []}')["checks"]}
    check("the doctor finds it from inside", all(found.get(name, {}).get("verdict") == "ok" for name in ("server", "udp", "dns")),
          [(name, one["verdict"]) for name, one in found.items() if one["verdict"] != "ok"])
    made = docker.do("exec", container, "/enza", "room", "create", "One")
    check("a room is made", made.returncode == 0 and f"https://{DOMAIN}/join#" in made.stdout, made.stderr.strip()[-200:])
    saved = docker.typed(documented("docker compose exec enza /enza backup copy.db"))
    check("the database is saved into the volume", saved.returncode == 0, saved.stdout.strip()[-200:] if saved.returncode else "")

    joined = run("node", TOP / "tests/browser/container.mjs", DOMAIN, MACHINE, *dict.fromkeys(links), timeout=180)
    for line in joined.stdout.splitlines():
        if line.startswith(("pass", "FAIL")):
            check(line[4:].strip(), line.startswith("pass"))
    check("the page's own test ran to its end", joined.returncode == 0, (joined.stderr or joined.stdout).strip()[-300:] if joined.returncode else "")

    os.kill(state(container)["Pid"], signal.SIGKILL)
    came = until(lambda: docker.inspect(container)["RestartCount"] == 1 and health(container) == "healthy", 60)
    check("killed, it is started again by itself", came is not None, f"after {came or 0:.1f} s")
    check("and serves", until(lambda: certificate(authority.trust()) == serial) is not None)
    began = time.monotonic()
    docker.compose("stop")
    took, ended = time.monotonic() - began, state(container)
    # What does not end in time is killed, and that is no 0.
    check("a stop is a graceful one", (ended["Status"], ended["ExitCode"]) == ("exited", 0), f"{took:.1f} s, with docker compose's own")
    check("and the log says so", "stopped" in docker.do("logs", "--tail", "3", container).stderr)

    docker.compose("down")
    fresh = up()
    check("a new container finds the certificate", fresh != container and
          until(lambda: certificate(authority.trust()) == serial) is not None and authority.issued() == 1)
    again = re.findall(rf"https://{DOMAIN}/join#[\w-]+", docker.do("logs", fresh).stdout)
    check("and opens the same links", set(again) == set(links))
    listed = docker.do("exec", fresh, "/enza", "room", "list")
    check("and the room", "One" in listed.stdout, listed.stderr.strip()[-200:])


def lay(machine: str, world: str) -> None:
    """A cable between a rented server and the world."""
    for name in (machine, world):
        run("ip", "netns", "add", name)
    run("ip", "-n", machine, "link", "add", "wan", "type", "veth", "peer", "name", "lan", "netns", world)
    for name, end, address in ((machine, "wan", MACHINE), (world, "lan", WORLD)):
        run("ip", "-n", name, "link", "set", "lo", "up")
        run("ip", "-n", name, "address", "add", f"{address}/24", "dev", end)
        run("ip", "-n", name, "link", "set", end, "up")
        run("ip", "-n", name, "route", "add", "default", "via", WORLD if name == machine else MACHINE)


if __name__ == "__main__":
    if sys.argv[1] == "--within":
        with tempfile.TemporaryDirectory(prefix="enza-container-", dir="/var/tmp") as scratch:
            try:
                main(sys.argv[2], Path(sys.argv[3]).resolve(), sys.argv[4], Path(scratch))
            finally:
                for left in running:
                    if left.poll() is None:
                        left.kill()
                        left.wait()
        closing_line()
    machine, world = f"enza-machine-{os.getpid()}", f"enza-world-{os.getpid()}"
    lay(machine, world)
    try:
        sys.exit(subprocess.run(["nsenter", f"--net=/run/netns/{world}", sys.executable, __file__, "--within", *sys.argv[1:], machine]).returncode)
    finally:
        for name in (machine, world):
            run("ip", "netns", "del", name)
