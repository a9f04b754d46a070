"""One line per log event, as logfmt or JSON: a dotted name, then `key=value` facts.

Whatever a peer said stays on its one line: control characters are escaped. It decides
nothing about what is logged.
"""

from __future__ import annotations

import json
import logging
import math
import re
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime

_BARE = re.compile(r"[\w.:/@+,*~-]+", re.ASCII)

Fact = str | int | float | bool | None


class Logfmt(logging.Formatter):
    """`time=... level=info event=poll.failed campaign="Spring sale" reason=timeout`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the one line."""
        facts = _facts(record).items()
        return " ".join(f"{name}={_quote(value)}" for name, value in facts)


class Json(logging.Formatter):
    """The same facts as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the one line."""
        facts = {name: _finite(value) for name, value in _facts(record).items()}
        return json.dumps(facts, ensure_ascii=True, allow_nan=False)


def _facts(record: logging.LogRecord) -> dict[str, Fact]:
    moment = datetime.fromtimestamp(record.created, UTC)
    facts: dict[str, Fact] = {
        "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": "warn"
        if record.levelno == logging.WARNING
        else record.levelname.lower(),
        "event": record.getMessage(),
    }
    given: Mapping[str, Fact] = getattr(record, "facts", {})
    facts.update((name, value) for name, value in given.items() if value is not None)
    if record.exc_info:
        facts["traceback"] = "".join(traceback.format_exception(*record.exc_info))
    return facts


def _finite(value: Fact) -> Fact:
    """Return what strict JSON has a form for: it knows neither NaN nor infinities."""
    is_odd = isinstance(value, float) and not math.isfinite(value)
    return str(value) if is_odd else value


def _quote(value: Fact) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.3f}".rstrip("0").rstrip(".")
    text = str(value)
    if _BARE.fullmatch(text):
        return text
    # JSON escapes quotes, backslashes and C0; what else could break a line follows,
    # above U+FFFF as two surrogates, so that a reader of JSON strings gets it back.
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(
        character if character.isprintable() else json.dumps(character)[1:-1]
        for character in quoted
    )
