#!/usr/bin/env python3
"""Prometheus' own parser (PyPI prometheus_client) reads the figures of a server that others called in before.

Usage: metrics.py [--install]    with ENZA_TEST_BASE and ENZA_TEST_DATA of the daemon, and ENZA_ACCEPTANCE.
"""
import os
import re
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

sys.path.insert(0, os.environ.get("ENZA_ACCEPTANCE") or str(Path(__file__).parents[2] / "shared/acceptance"))
import bootstrap  # noqa: E402  (first: it restarts the script in the cached environment)

bootstrap.ensure(Path(__file__).with_suffix(".txt"))
if "--install" in sys.argv:
    sys.exit(0)  # where the server runs there may be no network to install from
from prometheus_client.parser import text_string_to_metric_families  # noqa: E402

BASE = os.environ["ENZA_TEST_BASE"]
KEY = (Path(os.environ["ENZA_TEST_DATA"]) / "operator-key").read_text().strip()
UNITS = ("_bytes", "_seconds", "_ratio", "_info", "_total")
count = {True: 0, False: 0}


def check(name: str, passed: bool, detail: object = "") -> None:
    count[bool(passed)] += 1
    print(f"{'pass' if passed else 'FAIL'}  {name}  {detail}")


def get(path: str, key: str | None = KEY) -> tuple[int, str]:
    request = urllib.request.Request(BASE + path, headers={"Authorization": f"Bearer {key}"} if key else {})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def read() -> tuple[dict, dict]:
    """The families by name, and each sample's value by its name and labels."""
    families = {family.name: family for family in text_string_to_metric_families(get("/metrics")[1])}
    samples = {}
    for family in families.values():
        for sample in family.samples:
            key = (sample.name, *sorted(sample.labels.items()))
            assert key not in samples, f"twice: {key}"
            samples[key] = sample.value
    return families, samples


def total(samples: dict, name: str) -> float:
    return sum(value for key, value in samples.items() if key[0] == name)


check("/healthz", get("/healthz", None) == (200, "ok\n"))
check("/readyz", get("/readyz", None) == (200, "ready\n"))
check("without the key there are no figures", get("/metrics", None)[0] == 401)
# 429: guesses are counted, and whoever tested the API before made many.
check("with another one neither", get("/metrics", "not" + KEY)[0] in (401, 429))
families, before = read()
check("the parser reads all of it", len(families) > 25, f"{len(families)} families, {len(before)} samples")
nameless = [f.name for f in families.values() if f.type not in ("counter", "gauge") or not f.documentation]
check("each has a type and a sentence", not nameless, nameless)
odd = [key[0] for key in before if not re.fullmatch(r"(enza|process)_[a-z_]+", key[0])]
check("names are by convention", not odd, odd)
wrong = [f.name for f in families.values() if f.type == "counter" and
         not all(sample.name.endswith("_total") for sample in f.samples)]
check("counters end with _total", not wrong, wrong)
labels = {value for key in before for _, value in key[1:]}
check("label values are few words", len(labels) < 60, sorted(labels))
for name in ("packets_received", "received_bytes", "packets_forwarded", "forwarded_bytes", "packets_expected",
             "plis_sent"):
    value = total(before, f"enza_media_{name}_total")
    check(f"the calls before are counted: {name}", value > 0, int(value))
check("joins", total(before, "enza_joins_total") > 0, int(total(before, "enza_joins_total")))
busy = total(before, "enza_media_busy_seconds_total")
check("media threads were busy", 0 < busy < 3600, f"{busy:.2f} s")
time.sleep(1.2)
_, after = read()
back = [key for key, value in before.items() if key[0].endswith("_total") and after[key] < value]
check("counters only grow", not back, back)
print(f"{count[True]} passed, {count[False]} failed")
sys.exit(count[False] != 0)
