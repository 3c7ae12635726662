#!/usr/bin/env python3
"""A certificate in files is replaced under a running server: it is shown at once, connections go on, a broken pair changes nothing.

Usage: certificates.py BINARY    Needs openssl; everything stays on loopback.
"""
import http.client
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PATIENCE = 20  # seconds
passed = failed = 0


def check(name: str, ok: bool, detail: str = "") -> bool:
    global passed, failed
    passed, failed = passed + bool(ok), failed + (not ok)
    print(f"{'pass' if ok else 'FAIL'}  {name:<66} {detail}", flush=True)
    return bool(ok)


def closing_line() -> None:
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed or not passed else 0)


def until(condition, patience: float = PATIENCE) -> float | None:
    began = time.monotonic()
    while time.monotonic() - began < patience:
        try:
            if condition():
                return time.monotonic() - began
        except OSError:
            pass
        time.sleep(0.1)
    return None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def make(folder: Path, name: str) -> tuple[Path, Path]:
    cert, key = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
         "-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", cert],
        check=True, capture_output=True)
    return cert, key


def trusting(cert: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=cert)


def shows(port: int, cert: Path) -> bool:
    """Whether a handshake that trusts this certificate alone succeeds."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as tcp:
            with trusting(cert).wrap_socket(tcp, server_hostname="localhost"):
                return True
    except ssl.SSLCertVerificationError:
        return False


def point(link: Path, target: Path) -> None:
    """As certbot does it: the link is replaced in one step."""
    fresh = link.with_suffix(".fresh")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    os.replace(fresh, link)


def main(binary: str, folder: Path) -> None:
    first, second, third = (make(folder, name) for name in ("first", "second", "third"))
    cert, key = folder / "live-cert.pem", folder / "live-key.pem"
    point(cert, first[0]), point(key, first[1])
    port, log = free_port(), folder / "log"
    with log.open("wb") as out:
        server = subprocess.Popen(
            [binary, "serve", "--port", str(port), "--data", folder / "data", "--cert", cert, "--key", key],
            stdout=subprocess.DEVNULL, stderr=out, env={**os.environ, "LANG": "C", "RUST_LOG": "info"})
    try:
        check("the certificate in the files is shown", until(lambda: shows(port, first[0])) is not None)
        before = http.client.HTTPSConnection("localhost", port, context=trusting(first[0]), timeout=10)
        before.request("GET", "/", headers={"Host": "localhost"})
        standing = before.getresponse().read() == b"OK"
        point(cert, second[0]), point(key, second[1])
        took = until(lambda: shows(port, second[0]))
        check("replaced files are shown without a restart", took is not None, f"after {took or 0:.1f} s")
        before.request("GET", "/")
        check("a connection from before goes on", standing and before.getresponse().read() == b"OK")
        listed = subprocess.run([binary, "room", "list", "--data", folder / "data"], capture_output=True, timeout=20)
        check("the command line still knows the server", listed.returncode == 0, listed.stderr.decode().strip())

        point(cert, third[0])
        told = until(lambda: "the one before stays" in log.read_text(), 30)
        check("a certificate without its key is refused, and the log says so", told is not None, f"after {told or 0:.1f} s")
        check("and the one before is shown still", shows(port, second[0]))
        cert.unlink(), cert.write_text("no certificate")
        time.sleep(6)
        check("neither is what is no certificate", shows(port, second[0]))
        point(cert, third[0]), point(key, third[1])
        took = until(lambda: shows(port, third[0]))
        check("once the pair fits, it is shown", took is not None, f"after {took or 0:.1f} s")
        server.send_signal(signal.SIGTERM)
        check("it ends well", server.wait(10) == 0)
    finally:
        if server.poll() is None:
            server.kill()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        main(sys.argv[1], Path(scratch))
    closing_line()
