"""Kubernetes' types in values.schema.json, copied from Kubernetes' schemas.

For each reference to `io.k8s...` the definition of that type, and of all types in it,
is one line at the head of `definitions`. `python -m tests.chart.schema_types` writes
these lines; a test checks that they are current.
"""

from __future__ import annotations

import json
import re
import sys
from importlib.resources import files
from typing import Any

import kubernetes_validate

from tests.chart.helm import CHART

SCHEMA = CHART / "values.schema.json"
_HEAD = '  "definitions": {\n'
_OURS = '    "io.k8s.'
_REFERENCE = re.compile(r'"#/definitions/(io\.k8s\.[^"]+)"')


def written(text: str) -> str:
    """Return the schema's text with the current types of Kubernetes."""
    lines = text.splitlines(keepends=True)
    ours = "".join(line for line in lines if not line.startswith(_OURS))
    before, head, after = ours.partition(_HEAD)
    assert head, f"{SCHEMA} has no line {_HEAD!r}"
    types = [
        f'    "{name}": {json.dumps(definition)},\n'
        for name, definition in sorted(_types(ours).items())
    ]
    return "".join([before, head, *types, after])


def _types(text: str) -> dict[str, Any]:
    """Return the types that a text refers to, directly or indirectly, by name."""
    version = kubernetes_validate.latest_version()
    folder = files("kubernetes_validate").joinpath("kubernetes-json-schema")
    file = folder.joinpath(f"v{version}-local-strict", "_definitions.json")
    known = json.loads(file.read_text(encoding="utf-8"))["$defs"]
    found: dict[str, Any] = {}
    wanted = set(_REFERENCE.findall(text))
    asked_for = frozenset(wanted)
    while wanted:
        name = wanted.pop()
        found[name] = _bare(known[name])
        if name in asked_for and "properties" in found[name]:
            found[name]["type"] = "object"  # an item of a list cannot be null
        wanted |= set(_REFERENCE.findall(json.dumps(found[name]))) - set(found)
    return found


def _bare(part: Any) -> Any:
    """Return a part of a schema without its descriptions."""
    if isinstance(part, list):
        return [_bare(each) for each in part]
    if isinstance(part, str):
        return part.replace("#/$defs/", "#/definitions/")
    if not isinstance(part, dict):
        return part
    if "$ref" in part:
        return {"$ref": _bare(part["$ref"])}
    if "oneOf" in part:  # a number or a text, and null is valid as both
        return {"anyOf": _bare(part["oneOf"])}
    return {
        key: {name: _bare(each) for name, each in value.items()}
        if key == "properties"
        else _bare(value)
        for key, value in part.items()
        if key not in {"description", "format", "default"} and not key.startswith("x-")
    }


if __name__ == "__main__":
    SCHEMA.write_text(written(SCHEMA.read_text(encoding="utf-8")), encoding="utf-8")
    sys.stdout.write(f"{SCHEMA} is written\n")
