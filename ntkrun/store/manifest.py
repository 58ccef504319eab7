"""Read and write the manifest of a folder: a list of JSON objects that grows by a line per object.

    {"sha256": "<of the body's bytes>", "body": {"spec": ...}}        the first line
    {"sha256": "<of the body's bytes>", "body": {"name": ...}}        one line per shard

A line with a wrong checksum costs its own object only. A last line without its end is what a killed writer
leaves, and is ignored. Earlier versions wrote one document, manifest.json, anew for every shard.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any, NamedTuple

NAMES = NAME, OLD_NAME = "manifest.jsonl", "manifest.json"
LINE = re.compile(rb'\{"sha256": "([0-9a-f]{64})", "body": (\{.*\})\}')


class Found(NamedTuple):
    """Content of a manifest.

    Attributes
    ----------
    bodies : list of dict
        Objects whose checksum is right, in order.
    damaged : int
        Lines whose checksum is wrong.
    whole : bool
        Whether the file is there and a line can be appended to it.
    """

    bodies: list[dict[str, Any]]
    damaged: int
    whole: bool


def line(body: dict[str, Any]) -> bytes:
    """Return the line of an object; values that JSON does not know become strings."""
    text = json.dumps(body, default=str).encode()
    return b'{"sha256": "%s", "body": %s}\n' % (hashlib.sha256(text).hexdigest().encode(), text)


def read(path: Path) -> Found:
    """Return the content of a manifest; a file that cannot be read counts as absent."""
    try:
        *lines, torn = path.read_bytes().split(b"\n")
    except OSError:
        return Found([], 0, False)
    bodies = [body for one in lines if (body := _body(one)) is not None]
    damaged = len(lines) - len(bodies)
    if not lines and not torn:  # it is made with its first lines
        damaged = 1
    return Found(bodies, damaged, not damaged and not torn)


def first(path: Path) -> dict[str, Any]:
    """Return the first object of a manifest without reading the others; {} if there is none."""
    try:
        with path.open("rb") as file:
            return _body(file.readline().rstrip(b"\n")) or {}
    except OSError:
        return {}


def _body(text: bytes) -> dict[str, Any] | None:
    match = LINE.fullmatch(text)
    if match is None or hashlib.sha256(match[2]).hexdigest().encode() != match[1]:
        return None
    try:
        return json.loads(match[2])
    except (ValueError, RecursionError):  # a foreign line, with the right checksum
        return None


def read_old(path: Path) -> Found:
    """Return the content of a manifest.json of an earlier version, its specification first."""
    try:
        data = path.read_bytes()
    except OSError:
        return Found([], 0, False)
    try:
        document = json.loads(data)
        body = document["body"]
        text = json.dumps(body, sort_keys=True).encode()
        if document["sha256"] == hashlib.sha256(text).hexdigest():
            bodies = [{"spec": body["spec"]}, *body["shards"]]
            return Found([one for one in bodies if isinstance(one, dict)], 0, False)
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    return Found([], 1, False)
