"""Puts example patients into a FHIR server: seed.py BASE-URL FOLDER...

A folder holds requests of hooks/ (the prefetched resources are put under their ids) or bundles of type transaction
(.json.gz, posted as they are). Waits until the server answers.
"""

from __future__ import annotations

import gzip
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import requests

Json = dict[str, Any]

#: Seconds that the server may take to start, and to take one bundle.
_START, _BUNDLE = 600, 300


def transactions(folder: Path) -> Iterator[tuple[str, Json]]:
    """The transactions of a folder, each with the name of its file. Requests that are meant to fail have none."""
    for path in sorted(folder.glob("*.json.gz")):
        yield path.name, orjson.loads(gzip.decompress(path.read_bytes()))
    for path in sorted(folder.glob("[!e]*.json")):
        yield path.name, transaction(orjson.loads(path.read_bytes()).get("prefetch", {}))


def transaction(prefetch: Json) -> Json:
    """What was prefetched, as a transaction that can be repeated: each resource is put under its id."""
    found: dict[str, Json] = {}
    for value in prefetch.values():
        entries = value.get("entry", ()) if value and value["resourceType"] == "Bundle" else ({"resource": value},)
        for resource in (entry.get("resource") for entry in entries):
            if resource and resource.get("id"):
                found[f"{resource['resourceType']}/{resource['id']}"] = resource
    entries = [
        {"resource": resource, "request": {"method": "PUT", "url": address}} for address, resource in found.items()
    ]
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def wait_for(server: str) -> None:
    """Returns once the server answers; SystemExit where it does not within ten minutes."""
    for _ in range(_START // 2):
        try:
            if requests.get(f"{server}/metadata", timeout=10).ok:
                return
        except requests.RequestException:
            pass
        time.sleep(2)
    raise SystemExit(f"{server} does not answer")


def main(server: str, folders: list[Path]) -> int:
    """How many bundles the server refused."""
    wait_for(server)
    refused = 0
    for name, bundle in (found for folder in folders for found in transactions(folder)):
        answer = requests.post(
            server,
            data=orjson.dumps(bundle),
            headers={"Content-Type": "application/fhir+json"},
            timeout=_BUNDLE,
        )
        refused += not answer.ok
        print(f"{name}: {answer.status_code}" + ("" if answer.ok else f" {answer.text[:500]}"), flush=True)
    return refused


if __name__ == "__main__":
    raise SystemExit(min(main(sys.argv[1].rstrip("/"), [Path(one) for one in sys.argv[2:]]), 1))
