#!/usr/bin/env python3
"""`enza serve --domain` with Pebble, Let's Encrypt's own test authority: gets a certificate by TLS-ALPN-01, says in plain words
why there is none yet, keeps it over a restart, renews it while people are connected.

Usage: acme.py BINARY FOLDER    FOLDER holds pebble and pebble-challtestsrv. Needs openssl; everything stays on loopback.
"""
import http.client
import json
import os
import signal
import socket
import ssl
import stat
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

from certificates import check, closing_line, free_port, until

DOMAIN, NOWHERE, SHUT, TAKEN = "circle.example", "nowhere.example", "shut.example", "taken.example"
HERE, SHUT_AT, TAKEN_AT = "127.0.0.1", "127.0.0.2", "127.0.0.3"
VALID = 30  # seconds; renewed after two thirds
running: list[subprocess.Popen] = []


def bindable(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HERE, port))
            return True
        except OSError:
            return False


def openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def start(command: list[object], log: Path, **environment: str) -> subprocess.Popen:
    with log.open("ab") as out:
        process = subprocess.Popen(list(map(str, command)), stdout=out, stderr=out, env={**os.environ, **environment})
    running.append(process)
    return process


def stop(process: subprocess.Popen) -> int:
    process.send_signal(signal.SIGTERM)
    return process.wait(10)


class Authority:
    """Pebble, and the name server that it asks, at an address of this machine."""

    def __init__(self, folder: Path, programs: Path, tls_port: int, here: str = HERE, dns: int | None = None, valid: int = VALID) -> None:
        self.folder, self.log, self.here = folder, folder / "pebble.log", here
        self.root, key = folder / "https-root.pem", folder / "https-root.key"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", 2,
                "-subj", "/CN=root of the authority's own HTTPS", "-keyout", key, "-out", self.root)
        cert, cert_key, wish, names = (folder / name for name in ("https.pem", "https.key", "https.csr", "names"))
        names.write_text(f"subjectAltName=DNS:localhost,IP:{here}")
        openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                "-subj", "/CN=localhost", "-keyout", cert_key, "-out", wish)
        openssl("x509", "-req", "-in", wish, "-CA", self.root, "-CAkey", key, "-days", 2, "-extfile", names, "-out", cert)
        listen, manage, some, self.dns_manage = (free_port() for _ in range(4))
        dns = dns or some
        config = {"listenAddress": f"{here}:{listen}", "managementListenAddress": f"{here}:{manage}",
                  "certificate": str(cert), "privateKey": str(cert_key), "httpPort": 1, "tlsPort": tls_port,
                  "keyAlgorithm": "ecdsa", "retryAfter": {"authz": 1, "order": 1},
                  "profiles": {"default": {"description": "short", "validityPeriod": valid}}}
        (folder / "pebble.json").write_text(json.dumps({"pebble": config}))
        start([programs / "pebble-challtestsrv", "-defaultIPv4", "", "-defaultIPv6", "", "-dnsserver", f"{here}:{dns}",
               "-management", f"{here}:{self.dns_manage}", "-doh", "", "-http01", "", "-https01", "", "-tlsalpn01", ""],
              folder / "dns.log")
        start([programs / "pebble", "-config", folder / "pebble.json", "-dnsserver", f"{here}:{dns}"], self.log,
              PEBBLE_VA_NOSLEEP="1", PEBBLE_WFE_NONCEREJECT="5")
        self.directory, self.manage = f"https://{here}:{listen}/dir", f"https://{here}:{manage}"
        if until(lambda: self.get(self.directory)) is None:
            raise SystemExit(f"Pebble does not answer:\n{self.log.read_text()}")

    def get(self, url: str) -> bytes:
        context = ssl.create_default_context(cafile=self.root)
        return urllib.request.urlopen(url, timeout=5, context=context).read()

    def lead(self, name: str, address: str) -> None:
        body = json.dumps({"host": f"{name}.", "addresses": [address]}).encode()
        url = f"http://{self.here}:{self.dns_manage}/add-a"
        until(lambda: urllib.request.urlopen(urllib.request.Request(url, body), timeout=5).status == 200)

    def issued(self) -> int:
        return self.log.read_text().count("Issued certificate serial")

    def trust(self) -> ssl.SSLContext:
        """Trusts what Pebble signs and nothing else."""
        text = b"".join(self.get(f"{self.manage}/{kind}/0") for kind in ("roots", "intermediates"))
        return ssl.create_default_context(cadata=text.decode())


class Enza:
    def __init__(self, binary: str, folder: Path, domain: str, port: int, authority: Authority, language: str = "C") -> None:
        self.binary, self.data, self.said = binary, folder / domain / "data", folder / f"{domain}.out"
        self.data.parent.mkdir(exist_ok=True)
        self.process = start(
            [binary, "serve", "--domain", domain, "--bind", HERE, *([] if port == 443 else ["--port", port]),
             "--data", self.data, "--acme-directory", authority.directory, "--acme-root", authority.root,
             "--acme-contact", "keeper@circle.example"], self.said, LC_ALL=language, RUST_LOG="info")

    def says(self, *words: str, patience: float = 20) -> bool:
        return until(lambda: all(word in self.said.read_text() for word in words), patience) is not None


def serial(port: int, trust: ssl.SSLContext) -> str:
    with socket.create_connection((HERE, port), timeout=5) as tcp, trust.wrap_socket(tcp, server_hostname=DOMAIN) as tls:
        return tls.getpeercert()["serialNumber"]


def over_http(method: str, host: str, path: str = "/") -> tuple[int, http.client.HTTPMessage]:
    connection = http.client.HTTPConnection(HERE, 80, timeout=5)
    connection.request(method, path, headers={"Host": host})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status, answer.headers


def answer_there(port: int, cert: Path, key: Path) -> None:
    """Another server at TAKEN_AT."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    listener = socket.create_server((TAKEN_AT, port))

    def serve() -> None:
        while True:
            try:
                with context.wrap_socket(listener.accept()[0], server_side=True) as tls:
                    tls.recv(100)
            except OSError:
                pass

    threading.Thread(target=serve, daemon=True).start()


def main(binary: str, folder: Path, programs: Path) -> None:
    port = 443 if bindable(443) else free_port()
    authority = Authority(folder, programs, port)
    authority.lead(SHUT, SHUT_AT)
    authority.lead(TAKEN, TAKEN_AT)
    answer_there(port, folder / "https.pem", folder / "https.key")
    at = "" if port == 443 else f":{port}"

    plain = bindable(80)
    enza = Enza(binary, folder, DOMAIN, port, authority)
    until(lambda: bool(enza.said.read_text()))
    shut = Enza(binary, folder, SHUT, free_port(), authority)
    taken = Enza(binary, folder, TAKEN, free_port(), authority, "ja_JP.UTF-8")
    check("the links are the domain's", enza.says(f"https://{DOMAIN}{at}/join#"))
    check("a domain without an address is named, with the next step",
          enza.says("Getting a certificate", f"{DOMAIN} has no address", "A record", "Next try in 20 seconds"))
    authority.lead(DOMAIN, HERE)
    check("a port that nobody can reach, too", shut.says(f"connect to port 443 of {SHUT}", "firewall"))
    check("and another server in its place, in Japanese", taken.says("この サーバーでは ない ものが 答えています", "20 秒"))
    try:
        serial(port, authority.trust())
        refused = False
    except OSError:
        refused = True
    check("until there is a certificate, none is shown", refused)
    listed = subprocess.run([binary, "room", "list", "--data", enza.data], capture_output=True, timeout=20)
    check("but the command line works", listed.returncode == 0, listed.stderr.decode().strip())
    stop(shut.process), stop(taken.process)
    if plain:
        status, headers = over_http("GET", DOMAIN)
        check("meanwhile http:// asks to wait", status == 503 and headers["Retry-After"] == "20", str(status))

    came = until(lambda: authority.issued() == 1, 40)
    trust = authority.trust()
    first = None

    def shown() -> bool:
        nonlocal first
        first = serial(port, trust)
        return True

    check("the next try gets a certificate, valid for the domain", until(shown) is not None, f"after {came or 0:.1f} s")
    check("and says so", enza.says("is here"))
    if plain:
        status, headers = over_http("GET", DOMAIN, "/join?x=1")
        check("http:// leads to https://", status == 308 and headers["Location"] == f"https://{DOMAIN}{at}/join?x=1",
              f"{status} {headers['Location']}")
        others = [over_http("GET", "bank.example"), over_http("POST", DOMAIN), over_http("GET", DOMAIN, "/api/server")]
        check("and serves nothing else", [status for status, _ in others] == [404, 405, 308])
    check("where port 80 is taken, only the log says so", "port 80 is not served" in shut.said.read_text() or not plain)
    looked = subprocess.run(
        [binary, "doctor", "--domain", DOMAIN, "--bind", HERE, *([] if port == 443 else ["--port", port]), "--data", enza.data,
         "--acme-directory", authority.directory, "--acme-root", authority.root, "--json"], capture_output=True, text=True, timeout=30)
    found = {one["check"]: one for one in json.loads(looked.stdout)["checks"]}
    check("the doctor finds it running", found["server"]["verdict"] == "ok", found["server"]["what"])
    check("and knows the domain without being told again", DOMAIN in str(found["dns"]) + str(found["certificate"]),
          found["certificate"]["what"])
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (enza.data / "acme").rglob("*")}
    check("account and key are for their owner only",
          len(modes) == 3 and all(mode & 0o077 == 0 for mode in modes.values()),
          ", ".join(f"{name} {mode:o}" for name, mode in modes.items()))

    stop(enza.process)
    enza = Enza(binary, folder, DOMAIN, port, authority)
    check("after a restart it is the same one, without asking again",
          until(lambda: serial(port, trust) == first) is not None and authority.issued() == 1)
    standing = http.client.HTTPSConnection(HERE, port, timeout=10)
    standing.sock = trust.wrap_socket(socket.create_connection((HERE, port)), server_hostname=DOMAIN)
    standing.request("GET", "/", headers={"Host": DOMAIN})
    page = standing.getresponse()
    check("browsers are told to come by https:// from now on on port 443 alone",
          page.read() == b"OK" and ("Strict-Transport-Security" in page.headers) == (port == 443))
    fresh = until(lambda: serial(port, trust) != first, VALID + 10)
    check("it is renewed while the server runs", fresh is not None and authority.issued() == 2, f"after {fresh or 0:.1f} s")
    check("the command line still knows the server",
          subprocess.run([binary, "room", "list", "--data", enza.data], capture_output=True, timeout=20).returncode == 0)
    log = enza.said.read_text()
    wrong = [line for line in log.split("is here", 1)[1].splitlines() if "WARN" in line or "ERROR" in line]
    check("nothing went wrong on the way", not wrong, wrong[0] if wrong else "")
    check("it ends well", stop(enza.process) == 0)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        try:
            main(sys.argv[1], Path(scratch), Path(sys.argv[2]))
        finally:
            for process in running:
                if process.poll() is None:
                    process.kill()
                    process.wait()
    closing_line()
