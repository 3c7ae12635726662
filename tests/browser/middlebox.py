#!/usr/bin/env python3
"""A router between two network namespaces as people have it at home, at work and in a hospital: it translates addresses like the
strictest kind (a new outside port for each destination, which alone may answer), and can be a wall besides. Or, before a server
(`--server`), other kinds. Linux and root.

    middlebox.py INSIDE DEVICE OUTSIDE DEVICE --address OUTSIDE-ADDRESS [--server INSIDE-ADDRESS]

Makes a TUN device in each namespace and carries IPv4 packets between them. Each line on its input makes it another box:

    one-to-one      as rented servers have it: one address outside for one inside, and no port is touched (before a server
                    it begins so)
    home PORT       as people have it at home: each socket inside has one port outside, another number than its own, and hears
                    whomever it spoke to; this port alone is forwarded to the server, TCP and UDP
    strict          the strictest kind, for the server too

    none            everything passes (it begins so)
    udp             no UDP
    port N          nothing but TCP to this port
    tls             no UDP, and a TCP connection that does not begin like TLS is cut: nothing of it passes any more

and is answered with the same line. What was let through before a change is forgotten. Ends with its input; prints "ready".
"""
import argparse
import os
import random
import select
import socket
import struct
import sys

from long_cable import LARGEST, device

TCP, UDP = 6, 17
TLS_HANDSHAKE = 0x16
FLOWS_MAX = 20_000
FROM_PORT = 20_000


def sums(data):
    """The ones' complement sum of 16-bit words, of which checksums are made (RFC 1071)."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def correct(packet, at, old, new):
    """Corrects the checksum at `at` after `old` became `new` (RFC 1624)."""
    (check,) = struct.unpack_from("!H", packet, at)
    total = (~check & 0xFFFF) + (~sums(old) & 0xFFFF) + sums(new)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    struct.pack_into("!H", packet, at, ~total & 0xFFFF)


class Packet:
    """An IPv4 packet of TCP or UDP that is no fragment."""

    def __init__(self, data):
        self.data = bytearray(data)
        self.head = (data[0] & 15) * 4
        self.protocol = data[9]
        self.source, self.target = bytes(data[12:16]), bytes(data[16:20])
        self.source_port, self.target_port = struct.unpack_from("!HH", data, self.head)

    @staticmethod
    def read(data):
        whole = len(data) >= 28 and data[0] >> 4 == 4 and data[9] in (TCP, UDP)
        return Packet(data) if whole and not struct.unpack_from("!H", data, 6)[0] & 0x3FFF else None

    def payload(self):
        start = self.head + (8 if self.protocol == UDP else (self.data[self.head + 12] >> 4) * 4)
        return self.data[start:]

    def readdress(self, address_at, port_at, address, port):
        check = self.head + (16 if self.protocol == TCP else 6)
        pieces = ((address_at, address), (self.head + port_at, struct.pack("!H", port)))
        unsummed = self.protocol == UDP and self.data[check:check + 2] == b"\0\0"
        for at, new in pieces:
            old = bytes(self.data[at:at + len(new)])
            self.data[at:at + len(new)] = new
            if at == address_at:
                correct(self.data, 10, old, new)
            if not unsummed:
                correct(self.data, check, old, new)


class Flow:
    def __init__(self, inside, port):
        self.inside, self.port = inside, port
        self.begun = self.cut = False


class Middlebox:
    def __init__(self, address):
        self.address = socket.inet_aton(address)
        self.wall = ["none"]
        self.forget()

    def forget(self):
        self.out, self.back = {}, {}

    def stops(self, packet):
        kind = self.wall[0]
        if kind == "port":
            return packet.protocol != TCP or packet.target_port != int(self.wall[1])
        return kind in ("udp", "tls") and packet.protocol == UDP

    def leave(self, packet):
        """From inside to outside; None: it does not pass."""
        if self.stops(packet):
            return None
        there = (packet.protocol, packet.target, packet.target_port)
        key = (packet.source, packet.source_port, *there)
        flow = self.out.get(key)
        if flow is None:
            if len(self.out) >= FLOWS_MAX:
                self.forget()
            port = random.randrange(FROM_PORT, 65536)
            while (port, *there) in self.back:
                port = random.randrange(FROM_PORT, 65536)
            flow = self.out[key] = self.back[(port, *there)] = Flow((packet.source, packet.source_port), port)
        if self.wall[0] == "tls" and not flow.begun and (payload := packet.payload()):
            flow.begun = True
            flow.cut = payload[0] != TLS_HANDSHAKE
        if flow.cut:
            return None
        packet.readdress(12, 0, self.address, flow.port)
        return packet.data

    def enter(self, packet):
        """From outside to inside: only what answers."""
        flow = self.back.get((packet.target_port, packet.protocol, packet.source, packet.source_port))
        if flow is None or flow.cut or packet.target != self.address:
            return None
        packet.readdress(16, 2, *flow.inside)
        return packet.data


class Home:
    """The router at home with one forwarded port."""

    def __init__(self, address, server, forwarded):
        self.address, self.server, self.forwarded = socket.inet_aton(address), socket.inet_aton(server), forwarded
        self.out, self.back = {}, {}

    def leave(self, packet):
        key = (packet.protocol, packet.source, packet.source_port)
        port = self.forwarded
        if key[1:] != (self.server, self.forwarded):
            if key not in self.out:
                if len(self.out) >= FLOWS_MAX:
                    self.out, self.back = {}, {}
                taken = {one for one, _ in self.out.values()} | {packet.source_port, self.forwarded}
                free = next(port for port in iter(lambda: random.randrange(FROM_PORT, 65536), None) if port not in taken)
                self.out[key] = (free, set())
                self.back[(packet.protocol, free)] = key
            port, heard = self.out[key]
            heard.add((packet.target, packet.target_port))
        packet.readdress(12, 0, self.address, port)
        return packet.data

    def enter(self, packet):
        if packet.target != self.address:
            return None
        if packet.target_port == self.forwarded:
            packet.readdress(16, 2, self.server, self.forwarded)
            return packet.data
        key = self.back.get((packet.protocol, packet.target_port))
        if key is None or (packet.source, packet.source_port) not in self.out[key][1]:
            return None
        packet.readdress(16, 2, *key[1:])
        return packet.data


class OneToOne:
    """The NAT in front of a rented server."""

    def __init__(self, address, server):
        self.address, self.server = socket.inet_aton(address), socket.inet_aton(server)

    def leave(self, packet):
        packet.readdress(12, 0, self.address, packet.source_port)
        return packet.data

    def enter(self, packet):
        if packet.target != self.address:
            return None
        packet.readdress(16, 2, self.server, packet.target_port)
        return packet.data


def changed(box, options, line):
    """The box that a line of the input asks for."""
    if line[0] == "one-to-one":
        return OneToOne(options.address, options.server)
    if line[0] == "home":
        return Home(options.address, options.server, int(line[1]))
    if line[0] == "strict":
        return Middlebox(options.address)
    box.wall = line
    box.forget()
    return box


def carry(source, target, translate):
    while True:
        try:
            packet = Packet.read(os.read(source, LARGEST))
        except BlockingIOError:
            return
        if packet and (data := translate(packet)):
            try:
                os.write(target, data)
            except OSError:
                pass  # the device is down, or full


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("inside", "inside_device", "outside", "outside_device"):
        parser.add_argument(name)
    parser.add_argument("--address", required=True)
    parser.add_argument("--server")
    options = parser.parse_args()
    inside, outside = device(options.inside_device, options.inside), device(options.outside_device, options.outside)
    box = OneToOne(options.address, options.server) if options.server else Middlebox(options.address)
    print("ready", flush=True)
    poll = select.poll()
    for descriptor in (inside, outside, sys.stdin.fileno()):
        poll.register(descriptor, select.POLLIN)
    while True:
        for descriptor, _ in poll.poll():
            if descriptor == sys.stdin.fileno():
                line = os.read(descriptor, 64)
                if not line:
                    return
                box = changed(box, options, line.decode().split())
                print(line.decode().strip(), flush=True)
        carry(inside, outside, box.leave)
        carry(outside, inside, box.enter)


main()
