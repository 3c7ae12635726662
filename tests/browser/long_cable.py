#!/usr/bin/env python3
"""A long cable between two network namespaces, for browsers that know nothing of it: every IP packet, TCP and UDP, arrives
later, some never. Linux, root and iproute2.

    long_cable.py NAMESPACE DEVICE NAMESPACE DEVICE [--delay MS] [--jitter MS] [--loss PERCENT] [--rate KBIT] [--seed N]

Makes a TUN device in each namespace and carries packets between them until its input ends. `--delay` is one way. Packets
keep their order, as on a real cable; `--rate` has a queue of 200 ms behind it. Prints "ready".
"""
import argparse
import fcntl
import heapq
import os
import random
import select
import struct
import subprocess
import sys
import time

TUNSETIFF = 0x400454CA
TUN, NO_INFO = 0x0001, 0x1000
LARGEST = 65536
QUEUE = 0.2  # seconds of a narrow cable's queue
WAITING_MAX = 20_000  # packets on the way; more are dropped


def device(name, namespace):
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH", name.encode(), TUN | NO_INFO))
    subprocess.run(["ip", "link", "set", name, "netns", namespace], check=True)
    return tun


class Direction:
    def __init__(self, source, target, options, seed):
        self.source, self.target, self.options = source, target, options
        self.chance = random.Random(seed)
        self.way = []  # (when it arrives, number, packet)
        self.number = 0
        self.free_at = self.last = 0.0

    def take(self, now):
        while True:
            try:
                packet = os.read(self.source, LARGEST)
            except BlockingIOError:
                return
            if self.chance.random() * 100 < self.options.loss or len(self.way) >= WAITING_MAX:
                continue
            leaves = now
            if self.options.rate:
                begins = max(now, self.free_at)
                if begins - now > QUEUE:
                    continue
                leaves = self.free_at = begins + len(packet) * 8 / (self.options.rate * 1000)
            arrives = leaves + (self.options.delay + self.chance.random() * self.options.jitter) / 1000
            self.last = max(self.last, arrives)
            self.number += 1
            heapq.heappush(self.way, (self.last, self.number, packet))

    def deliver(self, now):
        while self.way and self.way[0][0] <= now:
            packet = heapq.heappop(self.way)[2]
            try:
                os.write(self.target, packet)
            except OSError:
                pass  # the device is down, or full


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("here", "here_device", "there", "there_device"):
        parser.add_argument(name)
    for name in ("--delay", "--jitter", "--loss", "--rate"):
        parser.add_argument(name, type=float, default=0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    ends = [device(options.here_device, options.here), device(options.there_device, options.there)]
    ways = [Direction(ends[0], ends[1], options, options.seed), Direction(ends[1], ends[0], options, options.seed + 1)]
    print("ready", flush=True)
    poll = select.poll()
    for descriptor in (*ends, sys.stdin.fileno()):
        poll.register(descriptor, select.POLLIN)
    while True:
        next_at = min((way.way[0][0] for way in ways if way.way), default=None)
        # `poll` counts milliseconds: the last one is spent looking again and again.
        wait = None if next_at is None else max(0, int((next_at - time.monotonic()) * 1000))
        for descriptor, _ in poll.poll(wait):
            if descriptor == sys.stdin.fileno() and not os.read(descriptor, 64):
                return
        now = time.monotonic()
        for way in ways:
            way.take(now)
            way.deliver(now)


if __name__ == "__main__":
    main()
