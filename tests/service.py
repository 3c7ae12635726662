#!/usr/bin/env python3
"""The systemd service that `enza install` writes: read and judged by systemd itself, the program run inside its filter of
system calls with a socket in systemd's place, and installed on a machine that systemd has booted: a container of its own with
this machine's /usr and nothing else, which is gone afterwards.

Usage: service.py BINARY    Linux, root; Debian packages systemd, systemd-container and python3-seccomp. Standard library otherwise.
"""
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from certificates import free_port

BINARY = Path(sys.argv[1]).resolve()
PORT = free_port()
# mmap(2) and mprotect(2).
PROT_WRITE, PROT_EXEC = 2, 4
count = {True: 0, False: 0}
skipped = 0


def check(name: str, passed: bool, detail: object = "") -> None:
    count[bool(passed)] += 1
    print(f"{'pass' if passed else 'FAIL'}  {name}  {detail}")


def run(*command: object, **more) -> subprocess.CompletedProcess:
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=60, **more)


def calls(name: str) -> set[str]:
    """The system calls of one of systemd's sets."""
    found = set()
    for word in run("systemd-analyze", "--no-pager", "syscall-filter", name).stdout.split("\n")[1:]:
        word = word.strip()
        if word.startswith("@"):
            found |= calls(word)
        elif re.fullmatch(r"[a-z0-9_]+", word):
            found.add(word)
    return found


def settings(unit: str) -> dict[str, list[str]]:
    """Every value of each setting, in order."""
    read: dict[str, list[str]] = {}
    for line in unit.splitlines():
        if line and not line.startswith(("#", "[")):
            name, value = line.split("=", 1)
            read.setdefault(name, []).append(value)
    return read


def confine(wanted: dict[str, list[str]]) -> None:
    """Puts this process behind the unit's filter, as systemd would; what is not allowed fails with EPERM."""
    import errno
    import seccomp

    allowed: set[str] = set()
    for line in wanted["SystemCallFilter"]:
        names = line.removeprefix("~").split()
        named = set().union(*(calls(name) if name.startswith("@") else {name} for name in names))
        allowed = allowed - named if line.startswith("~") else allowed | named
    denied = seccomp.ERRNO(errno.EPERM)
    rules = seccomp.SyscallFilter(defaction=denied)
    # systemd always lets itself start the program.
    for name in sorted(allowed | {"execve", "exit_group"}):
        if name in ("mmap", "mprotect", "pkey_mprotect"):
            continue
        try:
            rules.add_rule(seccomp.ALLOW, name)
        except (ValueError, RuntimeError):
            pass  # another processor's
    # MemoryDenyWriteExecute=yes
    both = PROT_WRITE | PROT_EXEC
    for bits in (0, PROT_WRITE, PROT_EXEC):
        rules.add_rule(seccomp.ALLOW, "mmap", seccomp.Arg(2, seccomp.MASKED_EQ, both, bits))
    rules.add_rule(seccomp.ALLOW, "mprotect", seccomp.Arg(2, seccomp.MASKED_EQ, PROT_EXEC, 0))
    rules.load()


def get(path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{PORT}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except OSError as error:
        return getattr(error, "code", 0), str(error)


def live(wanted: dict[str, list[str]], folder: Path) -> None:
    """The program behind the filter, from start to end, as systemd hears it."""
    hears = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    hears.bind(str(folder / "notify"))
    hears.settimeout(10)
    environment = {"NOTIFY_SOCKET": str(folder / "notify"), "WATCHDOG_USEC": "1000000", "LANG": "C", "RUST_LOG": "debug"}
    command = [BINARY, "serve", "--port", PORT, "--data", folder / "data"]
    # The loader of a program that is not static makes libraries' pages executable before the program begins, by mmap.
    with open(folder / "log", "w") as log:
        process = subprocess.Popen([str(part) for part in command], env=environment, stdout=log, stderr=log,
                                   preexec_fn=lambda: confine(wanted))
    try:
        said = hears.recv(64).decode()
        check("behind the filter it says that it is ready", said == "READY=1", said)
        check("and is", get("/readyz") == (200, "ready\n"), get("/readyz"))
        said = [hears.recv(64).decode() for _ in range(2)]
        check("it says again and again that it works", said == ["WATCHDOG=1"] * 2, said)
        # Every kind of work: a room and its database, a backup beside it.
        made = run(BINARY, "room", "create", "One", "--data", folder / "data")
        check("a room is made", made.returncode == 0 and "/join#" in made.stdout, made.stderr.strip())
        process.terminate()
        said = ""
        while said in ("", "WATCHDOG=1"):
            said = hears.recv(64).decode()
        check("it says that it stops", said == "STOPPING=1", said)
        check("and stops well", process.wait(10) == 0, process.returncode)
    finally:
        process.kill()
    log = (folder / "log").read_text()
    errors = [line for line in log.splitlines() if " ERROR " in line or "Operation not permitted" in line]
    check("no link gets into its log", "/join#" not in log and "serving" in log, log[:80])
    check("nothing that it needs is forbidden", not errors, errors[:3])


class Booted:
    """A machine that systemd runs, in a container without a network."""

    def __init__(self, folder: Path) -> None:
        self.said = folder / "boot"
        (folder / "bin").mkdir()
        command = ["systemd-nspawn", "--quiet", "--directory=/", "--volatile=yes", "--boot",
                   f"--machine=enza-test-{os.getpid()}", "--register=no", "--keep-unit", "--private-network", "--console=pipe",
                   f"--bind={folder}/bin:/usr/local/bin", f"--bind-ro={BINARY}:/run/new/enza",
                   "systemd.unit=basic.target", "systemd.firstboot=off", "systemd.mask=systemd-networkd-wait-online.service"]
        with open(self.said, "w") as out:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    def first(self) -> str | None:
        """Its process number 1, as this machine counts."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return next((pid for pid in children.read_text().split() if Path(f"/proc/{pid}/comm").read_text() == "systemd\n"), None)

    def do(self, *command: object) -> subprocess.CompletedProcess:
        return run("nsenter", "--all", f"--target={self.first()}", *command)

    def boots(self) -> bool:
        for _ in range(300):
            if self.process.poll() is not None:
                return False
            if self.first() and self.do("systemctl", "is-active", "basic.target").stdout.strip() == "active":
                return True
            time.sleep(0.1)
        return False

    def shown(self, what: str) -> str:
        return self.do("systemctl", "show", "enza", f"--property={what}", "--value").stdout.strip()

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


ASK = "import ssl, urllib.request as r; print(r.urlopen('https://127.0.0.1/readyz', context=ssl._create_unverified_context()).read())"


def booted(folder: Path) -> None:
    """Installed for real: what the unit promises is what the process has."""
    global skipped
    machine = Booted(folder)
    try:
        if not machine.boots():
            skipped += 1
            print("!!! SKIPPED, not passed: systemd does not boot in a container here:", machine.said.read_text().strip()[-300:])
            return
        done = machine.do("/run/new/enza", "install", "--port", "443", "--bind", "0.0.0.0")
        check("systemd itself: enza install starts it", done.returncode == 0 and machine.shown("ActiveState") == "active",
              (done.stderr + machine.shown("Result")).strip())
        answer = machine.do("/usr/bin/python3", "-c", ASK)
        check("it serves on port 443", "ready" in answer.stdout, answer.stderr.strip()[-100:])
        process = machine.do("cat", f"/proc/{machine.shown('MainPID')}/status").stdout
        has = dict(line.split(":\t", 1) for line in process.splitlines() if ":\t" in line)
        rights = {has[name] for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")}
        check("it has one right: ports below 1024", rights == {f"{1 << 10:016x}"}, rights)
        check("and is a user of its own, behind the filter",
              int(has["Uid"].split()[0]) > 1000 and (has["NoNewPrivs"], has["Seccomp"]) == ("1", "2"), has["Uid"])
        modes = machine.do("stat", "--format=%u %a", "/var/lib/private/enza", "/var/lib/private/enza/data/enza.db").stdout.split()
        check("its data is its own", modes == [has["Uid"].split()[0], "700", has["Uid"].split()[0], "600"], modes)
        listed = machine.do("env", "ENZA_DATA=/var/lib/enza/data", "/usr/local/bin/enza", "room", "list")
        check("root asks it by the command line", listed.returncode == 0, listed.stderr.strip())
        machine.do("systemctl", "kill", "--signal=KILL", "enza")
        again = any(machine.shown("NRestarts") == "1" and machine.shown("ActiveState") == "active" or time.sleep(0.2)
                    for _ in range(50))
        check("killed, it is started again", again, machine.shown("NRestarts"))
        gone = machine.do("/usr/local/bin/enza", "uninstall")
        left = machine.do("ls", "/var/lib/enza/data").stdout.split()
        check("uninstall stops it in peace and leaves the data", gone.returncode == 0 and "enza.db" in left and
              "enza.db-wal" not in left and machine.shown("LoadState") == "not-found", gone.stderr.strip())
    finally:
        machine.stop()


def main() -> None:
    global skipped
    with tempfile.TemporaryDirectory() as name:
        folder, root = Path(name), Path(name) / "root"
        flags = ["--port", "443", "--bind", "0.0.0.0", "--webhook", "https://example.org/a%20b"]
        dry = run(BINARY, "install", "--dry-run", "--root", root, *flags)
        check("--dry-run prints the unit and writes nothing", dry.returncode == 0 and not root.exists(), dry.stderr)
        done = run(BINARY, "install", "--root", root, *flags)
        unit = root / "etc/systemd/system/enza.service"
        check("install writes the unit", done.returncode == 0 and unit.read_text() == dry.stdout, done.stderr)
        check("and the program, which runs", run(root / "usr/local/bin/enza", "--version").returncode == 0)
        # systemd looks for the program where the unit says.
        shown = folder / "enza.service"
        shown.write_text(unit.read_text().replace("/usr/local/bin/enza", str(BINARY)))
        read = run("systemd-analyze", "verify", "--man=no", shown)
        check("systemd reads it without a word", read.returncode == 0 and not read.stderr.strip(), read.stderr.strip())
        judged = run("systemd-analyze", "security", "--no-pager", "--offline=yes", shown)
        score = re.search(r"exposure level for \S+: ([\d.]+) (\w+)", judged.stdout)
        check("systemd's own judgement of its rights is below 2 of 10", score and float(score[1]) < 2,
              score and f"{score[1]} {score[2]}")
        wanted = settings(unit.read_text())
        start = shlex.split(wanted["ExecStart"][0].replace("%%", "%"))
        check("the flags are in it", start[:2] == ["/usr/local/bin/enza", "serve"] and pairs(start[2:]) == pairs(flags), start)
        forbidden = subprocess.run(["/usr/bin/python3", "-c", "import os; os.chroot('/')"], capture_output=True, text=True,
                                   preexec_fn=lambda: confine(wanted))
        check("the filter forbids root to change its root", "PermissionError" in forbidden.stderr, forbidden.stderr[-60:])
        live(wanted, folder)
        refused = run(BINARY, "install", "--root", root, "--api-key", "k", "--api-secret", "s" * 40)
        check("a secret does not get into it", refused.returncode == 2 and "/etc/enza.env" in refused.stderr)
        refused = run(BINARY, "install", "--root", root, "--cert", "c.pem")
        check("settings that cannot work are refused", refused.returncode == 2 and unit.read_text() == dry.stdout)
        gone = run(BINARY, "uninstall", "--root", root, env={"LANG": "ja_JP.UTF-8"})
        check("uninstall takes it away and says what stays", gone.returncode == 0 and not unit.exists() and
              "/var/lib/enza/data" in gone.stdout, gone.stdout.strip())
        if shutil.which("systemd-nspawn") and Path("/bin").is_symlink():
            booted(folder)
        else:
            skipped += 1
            print("!!! SKIPPED, not passed: a real systemd needs systemd-nspawn (systemd-container) and a /usr that holds all programs")
    print(f"{count[True]} passed, {count[False]} failed" + (f", {skipped} skipped" if skipped else ""))
    sys.exit(count[False] != 0)


def pairs(flags: list[str]) -> list[tuple[str, str]]:
    return sorted(zip(flags[::2], flags[1::2]))


# The filter is made by Debian's own Python, which has its library.
if "seccomp" not in sys.modules:
    try:
        import seccomp  # noqa: F401
    except ImportError:
        if os.environ.get("ENZA_SYSTEM_PYTHON"):
            sys.exit("python3-seccomp is missing")
        os.environ["ENZA_SYSTEM_PYTHON"] = "1"
        os.execv("/usr/bin/python3", ["/usr/bin/python3", *sys.argv])
main()
