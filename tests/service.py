#!/usr/bin/env python3
"""The systemd service that `enza install` writes: read and judged by systemd itself, and the program run inside its filter of
system calls, with a socket in systemd's place.

Usage: service.py BINARY    Linux, root; Debian packages systemd and python3-seccomp. Standard library otherwise.
"""
import os
import re
import shlex
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

BINARY = Path(sys.argv[1]).resolve()
PORT = 7897
# mmap(2) and mprotect(2).
PROT_WRITE, PROT_EXEC = 2, 4
count = {True: 0, False: 0}


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


def main() -> None:
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
    print(f"{count[True]} passed, {count[False]} failed")
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
