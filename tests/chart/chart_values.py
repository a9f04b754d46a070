"""The chart's values: defaults, schema, the files of ci/, and a configuration."""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft7Validator

from tests.chart.helm import CHART, Document

VALUES: Document = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
SCHEMA: Document = json.loads(
    (CHART / "values.schema.json").read_text(encoding="utf-8")
)
_VALIDATOR = Draft7Validator({**SCHEMA, "required": []})


def schema_errors(values: Mapping[str, object]) -> list[str]:
    """Return what values.schema.json has against values put over the defaults.

    Defaults that stay as they are are valid, and not checked again.
    """
    whole = merged(VALUES, values)
    missing = [key for key in SCHEMA["required"] if key not in whole]
    changed = {key: whole[key] for key in values if key in whole}
    errors = _VALIDATOR.iter_errors(changed)
    return [
        *(f"$: {key} is required" for key in missing),
        *(f"{error.json_path}: {error.message}" for error in errors),
    ]


def merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> Document:
    """Return values as Helm puts one file over another: null removes a key."""
    found = deepcopy(dict(first))
    for key, value in second.items():
        if value is None and key in found:
            del found[key]
        elif isinstance(value, dict) and isinstance(found.get(key), dict):
            found[key] = merged(found[key], value)
        else:
            found[key] = deepcopy(value)
    return found


def values_of(file: Path) -> Document:
    """Return the values in a file."""
    values: Document = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    return values


CI_VALUES = {
    file.stem.removesuffix("-values"): values_of(file)
    for file in sorted((CHART / "ci").glob("*-values.yaml"))
}
ID = "3bbc4555-8fa0-4c9b-a5c0-4505edf3e064"
NASTY = "it's \"quoted\": {{ .Values }} #no\n\t- [x] & *y | > ' % @ ` \\ é 🌷 null"
"""Text with every character that YAML or templates treat specially."""


def config(**changes: object) -> Document:
    """Return values with a configuration of one workspace and its key.

    `...` removes an option.
    """
    workspace = {
        "name": "production",
        "endpoint": "https://rest.iad-01.braze.com",
        "api_key_file": "/etc/braze-exporter/keys/production",
        "campaigns": [{"id": ID, "name": "Welcome series"}],
    } | changes
    kept = {key: value for key, value in workspace.items() if value is not ...}
    key = {"secretName": "braze", "key": "api-key", "file": "production"}
    return {"config": {"workspaces": [kept]}, "apiKeys": [key]}
