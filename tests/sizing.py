#!/usr/bin/env python3
"""The rows of the table in server/SELF_HOSTING.md: what meetings of several sizes ask of a server, by `enza load` beside it.

Usage: sizing.py BINARY [SECONDS]    Linux; the server on the first processor, the generator on the second. As root both come before
everything else that runs (SCHED_RR), so that a busy machine changes little. Prints Markdown and, below, what was lost and how late
packets were: rows where that is bad show a machine that is too small, not what a meeting needs.
"""
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from certificates import free_port, until

KEY = ["--api-key", "key", "--api-secret", "s" * 40]
MEETINGS = [
    ("ten people, sound only", ["--video-kbps", "0"], 10),
    ("ten people, all with a picture", [], 10),
    ("three with a picture, 47 who listen", ["--participants", "50", "--publishers", "3"], 50),
    ("ten with a picture, 90 who listen", ["--participants", "100", "--publishers", "10"], 100),
    ("four rooms of ten, all with a picture", ["--rooms", "4"], 40),
    ("eight rooms of ten, all with a picture", ["--rooms", "8"], 80),
]


def first(command: list[object], processor: int) -> list[str]:
    ahead = ["chrt", "-r", "10"] if os.geteuid() == 0 else []
    return [*ahead, "taskset", "-c", str(processor), *map(str, command)]


def measure(binary: Path, meeting: list[str], seconds: int) -> dict:
    with tempfile.TemporaryDirectory() as name:
        port = free_port()
        server = subprocess.Popen(first([binary, "serve", "--port", port, "--data", Path(name) / "data", *KEY], 0),
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            pid = server.pid
            load = first([binary, "load", "--url", f"http://127.0.0.1:{port}", *KEY, "--duration", f"{seconds}s", "--json",
                          "--server-pid", pid, *meeting], 1)
            if until((Path(name) / "data/running.toml").exists) is None:
                raise SystemExit("the server does not start")
            done = subprocess.run(load, capture_output=True, text=True, timeout=seconds * 4 + 60)
            if done.returncode:
                raise SystemExit(done.stderr)
            return json.loads(done.stdout)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(10)


def main(binary: Path, seconds: int) -> None:
    print("| People at once | What they do | Line of the server, out | in | One core | Memory |\n|---|---|---|---|---|---|")
    quality = []
    for name, meeting, people in MEETINGS:
        found = measure(binary, meeting, seconds)
        rate, server, packets, delay = found["rate"], found["server"], found["packets"], found["delay"]["all"]
        print(f"| {people} | {name} | {rate['received_mbps']:.0f} Mbit/s | {rate['sent_mbps']:.1f} Mbit/s | {server['cpu_percent']:.0f} % | "
              f"{server['rss_loaded_kb'] / 1024:.0f} MB |", flush=True)
        quality.append(f"{name}: lost {packets['lost']} of {packets['expected']}, delay p50 {delay['p50_us'] / 1000:.2f} ms, "
                       f"p99 {delay['p99_us'] / 1000:.2f} ms; generator {found['generator']['cpu_percent']:.0f} % of its core")
    print("\n" + "\n".join(quality))


main(Path(sys.argv[1]).resolve(), int(sys.argv[2]) if len(sys.argv) > 2 else 10)
