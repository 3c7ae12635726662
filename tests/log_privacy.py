#!/usr/bin/env python3
"""Reads the daemon's log of a whole test run and fails if it tells anything about a person.

No IP address, display name, token, secret, invite or session description may stand above `trace`.
Usage: log_privacy.py LOG...   Standard library only.
"""
import ipaddress
import json
import os
import re
import sys
from pathlib import Path

HERE = Path(__file__).parent
# Names that the acceptance clients give themselves (they are both identity and display name there).
CLIENTS = ["alice", "bob", "c0", "c1", "c2", "ann", "ben", "chie"]
PATTERNS = {
    "IPv4 address": re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.]*\w)"),
    "token": re.compile(r"eyJ[\w-]{8,}\.[\w-]*"),
    "session description": re.compile(
        r"\bv=0\b|\bo=- |\bm=(?:audio|video|application) |\ba=(?:ice-|fingerprint|candidate|mid|rtpmap|group|ssrc|msid)"
        r"|candidate:\d|\bice-(?:pwd|ufrag):|\bsha-256 [0-9A-F]{2}:"
    ),
}
GROUPS = re.compile(r"(?<![\w:.])[0-9a-fA-F:]*:[0-9a-fA-F]*:[0-9a-fA-F:.]*(?![\w:])")


def is_ipv6(text: str) -> bool:
    """True for an address; clock times and Rust paths have colons too but do not parse."""
    if not any(c.isdigit() for c in text):
        return False
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def findings(line: str, words: list[str], secrets: list[str]) -> list[str]:
    """What one log line tells and should not."""
    found = [name for name, pattern in PATTERNS.items() if pattern.search(line)]
    if any(is_ipv6(match) for match in GROUPS.findall(line)):
        found.append("IPv6 address")
    if any(secret in line for secret in secrets):
        found.append("secret")
    if any(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", line) for word in words):
        found.append("display name")
    return found


def known_secrets() -> list[str]:
    """The API secret, and the invites that the daemon printed for its owner."""
    secrets = [value for value in [os.environ.get("LIVEKIT_API_SECRET", "")] if len(value) >= 8]
    output = os.environ.get("ENZA_TEST_OUTPUT")
    if output and Path(output).is_file():
        secrets += re.findall(r"/join#([\w-]{8,})", Path(output).read_text(errors="replace"))
    return secrets


count = {True: 0, False: 0}


def check(name: str, ok: bool, detail: str = "") -> None:
    count[ok] += 1
    print(f"{'pass' if ok else 'FAIL'}  {name:<58} {detail}")


def main() -> int:
    words = CLIENTS + json.loads((HERE / "browser/people.json").read_text())
    secrets = known_secrets()

    # The reader itself: every kind must be found in a line that has it, and a clean line must stay clean.
    planted = {
        "IPv4 address": "peer at 192.0.2.7:50000 is silent",
        "IPv6 address": "peer at [2001:db8::7]:50000 is silent",
        "token": "refused eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln",
        "session description": "offer v=0 o=- 1 2 IN",
        "secret": "invite not-a-real-secret-0123",
        "display name": f"joined: {words[-1]}",
    }
    for kind, line in planted.items():
        check(f"a planted {kind} is found", kind in findings(line, words, ["not-a-real-secret-0123"]))
    clean = "2026-01-02T03:04:05.678901Z  INFO enza::session: joined room=RM_abcDEF012345 peer=4294967297 version=0.1.0"
    check("a clean line is clean", not findings(clean, words, secrets))

    lines = [line for path in sys.argv[1:] for line in Path(path).read_text(errors="replace").splitlines()]
    check("the log has lines to read", len(lines) >= 20, f"{len(lines)} lines")
    bad = {}
    for number, line in enumerate(lines, 1):
        for kind in findings(line, words, secrets):
            bad.setdefault(kind, []).append((number, line))
    for kind in planted:
        hits = bad.get(kind, [])
        check(f"the log holds no {kind}", not hits, f"{len(hits)} lines" if hits else "")
        for number, line in hits[:3]:
            print(f"      line {number}: {line[:160]}")
    print(f"{count[True]} passed, {count[False]} failed")
    return 0 if not count[False] else 1


if __name__ == "__main__":
    sys.exit(main())
