#!/usr/bin/env python3
"""Behind a proxy as server/SELF_HOSTING.md has it: its nginx and its Caddy text and its `enza install` line, with real ones. The
page's address and WebSockets come through, links begin with the proxy's name, and what one person gets wrong counts for them alone.

Usage: proxies.py BINARY    Needs nginx or caddy, and openssl; everything stays on loopback.
"""
import json
import re
import shlex
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
from pathlib import Path

import papers
from certificates import check, closing_line, free_port, make, until
from documents import ROOM_LINK, open_circle

TEXT = (papers.ROOT / "server/SELF_HOSTING.md").read_text()
NAME = "circle.example.jp"
# As many wrong links as one address may open at once (`enza/src/attempts.rs`).
TRIES = 20
trusting_nobody = ssl.create_default_context()
trusting_nobody.check_hostname, trusting_nobody.verify_mode = False, ssl.CERT_NONE


def connect(port: int, source: str) -> ssl.SSLSocket:
    plain = socket.create_connection(("127.0.0.1", port), 10, (source, 0))
    return trusting_nobody.wrap_socket(plain, server_hostname=NAME)


def ask(port: int, source: str, method: str, path: str, body: str = "", more: str = "") -> tuple[int, str]:
    with connect(port, source) as stream:
        request = (f"{method} {path} HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\nContent-Type: application/json\r\n"
                   f"Content-Length: {len(body)}\r\n{more}\r\n{body}").encode()
        heard = b""
        # Who will not read all of it may close before it is sent.
        try:
            stream.sendall(request)
            while more_heard := stream.recv(65536):
                heard += more_heard
        except OSError as error:
            if not heard:
                return 0, str(error)
    return int(heard.split(b" ", 2)[1]), heard.partition(b"\r\n\r\n")[2].decode(errors="replace")


def nginx(folder: Path, port: int, enza: int) -> list[str]:
    cert, key = make(folder, "proxy")
    [text] = papers.blocks(TEXT, "nginx")
    for written, here in {"listen 443 ssl;": f"listen 127.0.0.1:{port} ssl;", "127.0.0.1:7880": f"127.0.0.1:{enza}",
                          f"/etc/ssl/{NAME}/fullchain.pem": str(cert), f"/etc/ssl/{NAME}/privkey.pem": str(key)}.items():
        assert written in text, f"the nginx text has no {written}"
        text = text.replace(written, here)
    kinds = "\n".join(f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (folder / "nginx.conf").write_text(f"pid {folder}/nginx.pid;\nevents {{}}\nhttp {{\naccess_log {folder}/visitors.err;\n{kinds}\n{text}}}\n")
    return ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf"), "-g", "daemon off;", "-e", str(folder / "nginx.err")]


def caddy(folder: Path, port: int, enza: int) -> list[str]:
    [text] = papers.blocks(TEXT, "caddy")
    # Its own authority in place of Let's Encrypt; nothing of it is put into the machine's list.
    text = text.replace(f"{NAME} {{", f"https://{NAME}:{port} {{\n    tls internal").replace("127.0.0.1:7880", f"127.0.0.1:{enza}")
    options = "{\n    admin off\n    auto_https disable_redirects\n    skip_install_trust\n    storage file_system " + str(folder / "caddy") + "\n}\n"
    (folder / "Caddyfile").write_text(options + text)
    return ["caddy", "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]


def behind(kind: str, command: list[str], port: int, link: str, log: Path) -> None:
    """What comes through; what the proxy itself says goes into `log`."""
    secret = ROOM_LINK.search(link)[1]
    with log.open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out)
    try:
        if until(lambda: ask(port, "127.0.0.1", "GET", "/healthz")[0] == 200) is None:
            check(f"{kind}: the server answers through it", False, log.read_text()[-500:])
            return
        check(f"{kind}: the server answers through it", True)
        status, said = ask(port, "127.0.0.1", "POST", "/api/join", json.dumps({"invite": secret, "name": "Hana"}))
        joined = json.loads(said)
        with open_circle(connect(port, "127.0.0.1"), joined, NAME):
            check(f"{kind}: a WebSocket comes through", True)
        status, said = ask(port, "127.0.0.1", "GET", f"/rtc/v1/validate?access_token={joined['token']}&join_request={'A' * 60_000}")
        check(f"{kind}: a join request as long as they get comes through", status == 400 and "join_request" in said, f"{status} {said[:60]}")
        # 127.0.0.1 would be the proxy itself.
        wrong = json.dumps({"invite": "no such link"})
        lie = lambda at: f"X-Forwarded-For: 198.51.100.{at}\r\n"  # noqa: E731
        tried = [ask(port, "127.0.0.2", "POST", "/api/invite", wrong, lie(at))[0] for at in range(TRIES + 1)]
        check(f"{kind}: who opens wrong links is stopped, whatever address they claim", tried == [404] * TRIES + [429], tried)
        status, _ = ask(port, "127.0.0.3", "POST", "/api/invite", json.dumps({"invite": secret}))
        check(f"{kind}: and nobody else", status == 200, status)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


def main(binary: Path) -> None:
    [line] = [told.text for told in papers.commands("", TEXT) if "--trusted-proxy" in told.text]
    flags = shlex.split(line.split(" install ")[1])
    found = 0
    for kind, configured in (("nginx", nginx), ("caddy", caddy)):
        if not shutil.which(kind):
            print(f"{kind} is not here")
            continue
        found += 1
        # A server of its own: what was got wrong is not forgotten in between.
        with tempfile.TemporaryDirectory() as name:
            folder, port, enza = Path(name), free_port(), free_port()
            out = folder / "enza.out"
            with out.open("w") as said:
                server = subprocess.Popen([binary, "serve", *flags, "--port", str(enza), "--data", folder / "data"], stdout=said,
                                          stderr=said, env={"LANG": "C", "RUST_LOG": "debug"})
            try:
                link = until(lambda: len(ROOM_LINK.findall(out.read_text())) >= 2) and ROOM_LINK.search(out.read_text())[0]
                check(f"{kind}: links begin with the proxy's name", bool(link) and link.startswith(f"https://{NAME}/join#"), link and link.split("#")[0])
                behind(kind, configured(folder, port, enza), port, link, folder / "said.err")
                written = "".join(file.read_text() for file in folder.glob("*.err"))
                # Caddy tells of its own start; nginx, as its text has it, of nothing at all.
                check(f"{kind}: what it writes was read", kind != "caddy" or "serving initial configuration" in written, f"{len(written)} characters")
                seen = re.findall(r"127\.0\.0\.[23]|access_token", written)
                check(f"{kind}: wrote nobody down", not seen, seen[:3])
            finally:
                server.send_signal(signal.SIGTERM)
                server.wait(10)
    check("a proxy was there to be tried", found > 0)
    closing_line()


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
