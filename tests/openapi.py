#!/usr/bin/env python3
"""schemathesis (PyPI, unmodified) drives every call that the OpenAPI document names, as the operator and as a stranger:
no answer is a 5xx, and each is one that the document describes.

Usage: openapi.py [--install]    with the variables and the folder of the acceptance checks (ENZA_ACCEPTANCE).
"""
import os
import sys
from pathlib import Path

sys.path.insert(0, os.environ.get("ENZA_ACCEPTANCE") or str(Path(__file__).parents[2] / "shared/acceptance"))
import bootstrap  # noqa: E402  (first: it restarts the script in the cached environment)

bootstrap.ensure(Path(__file__).with_suffix(".txt"))
if "--install" in sys.argv:
    sys.exit(0)  # where the server runs there may be no network to install from
import json  # noqa: E402
import re  # noqa: E402
import subprocess  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
import urllib.error  # noqa: E402
import urllib.request  # noqa: E402

from roomkit import URL, Checks  # noqa: E402

BASE = URL.replace("ws", "http", 1)
DOCUMENT = f"{BASE}/api/openapi.json"
EXAMPLES = "8"  # for each call and run
LIMIT = 60  # seconds for one run
checks = Checks()
check = checks.check

# What is right in form may still be refused: a room that is not there, a link that is wrong, a sentence of a rule.
CONFIGURATION = """
request-timeout = 10.0
{headers}
{parameters}
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "401", "403", "404", "409", "410", "422", "426", "429"]
[checks.negative_data_rejection]
expected-statuses = ["400", "401", "403", "404", "405", "409", "410", "422", "426", "429"]
"""


def ask(method: str, path: str, key: str | None = None, body: dict | None = None) -> tuple[int, bytes]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(BASE + path, data, method=method)
    if key:
        request.add_header("Authorization", f"Bearer {key}")
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def run(name: str, configuration: str, *options: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "schemathesis.toml"
        file.write_text(configuration)
        command = [str(Path(sys.executable).with_name("st")), "--no-color", "--config-file", str(file), "run", DOCUMENT,
                   "--phases", "examples,coverage,fuzzing", "--max-examples", EXAMPLES, "--seed", "1",
                   "--continue-on-failure", "--warnings", "off", *options]
        began = time.monotonic()
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, cwd=folder)
            said, status = done.stdout + done.stderr, done.returncode
        except subprocess.TimeoutExpired as stopped:
            said, status = str(stopped.stdout), "none in time"
    generated = re.search(r"(\d+) generated", said)
    detail = f"{generated.group(1) if generated else 0} requests in {time.monotonic() - began:.0f} s"
    if not check(f"schemathesis finds nothing {name}", status == 0 and generated, detail):
        print(said)


def parameters(room: str, doomed: str) -> str:
    return (f'[parameters]\n"path.room" = "{room}"\n[[operations]]\ninclude-operation-id = "eraseRoom"\n'
            f'parameters = {{ "path.room" = "{doomed}" }}\n')


def main() -> None:
    key = (Path(os.environ["ENZA_TEST_DATA"]) / "operator-key").read_text().strip()
    status, text = ask("GET", "/api/openapi.json")
    document = json.loads(text)
    check("the document is OpenAPI 3.1", status == 200 and document["openapi"].startswith("3.1."))
    calls = [(path, method, call) for path, item in document["paths"].items() for method, call in item.items()]
    check("it names every part of the API", len(calls) >= 18, f"{len(calls)} calls")

    keyed = [(path, method) for path, method, call in calls
             if any("operator" in way for way in call.get("security", [])) and {} not in call["security"]]
    open_to = [f"{method} {path}" for path, method in keyed
               if ask(method.upper(), re.sub(r"\{(ban|invite)\}", "1", path).replace("{room}", "x"))[0] != 401]
    check("every call that names a key is refused without", keyed and not open_to, ", ".join(open_to))

    made = [json.loads(ask("POST", "/api/rooms", key, {"title": title})[1]) for title in ("Kept", "Doomed")]
    room, doomed = (one["room"]["id"] for one in made)
    as_operator = CONFIGURATION.format(headers=f'headers = {{ Authorization = "Bearer {key}" }}',
                                       parameters=parameters(room, doomed))
    # A wrong key is answered 429 after some: that the right one is needed is checked above.
    run("as the operator", as_operator, "--exclude-checks", "ignored_auth")
    run("as a stranger", CONFIGURATION.format(headers="", parameters=""), "--exclude-checks", "ignored_auth")
    status, _ = ask("GET", "/api/rooms", "enza-operator-wrong")
    check("who guesses keys is told to wait", status in (401, 429), str(status))
    status, _ = ask("GET", "/api/rooms", key)
    check("and the operator at the same address is not", status == 200, str(status))
    ask("DELETE", f"/api/rooms/{room}", key)


main()
checks.finish()
